import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { mkdtemp, open, readFile, rm, statfs } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

export const LOOPBACK = '127.0.0.1'

const READY_WITHIN_MS = 60_000
const STOP_WITHIN_MS = 10_000
const TMPFS_MAGIC = 0x01021994

const children = new Set<ChildProcess>()
const dirs = new Set<string>()

// The last resort, for an exit that did not wait for the stack to be disposed.
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL')
  for (const dir of dirs) rmSync(dir, { recursive: true, force: true })
})

/** A new directory in the temporary one (of TMPDIR), removed with the stack. */
export async function scratchDir(stack: AsyncDisposableStack): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-peers-'))
  dirs.add(dir)
  stack.defer(async () => {
    await rm(dir, { recursive: true, force: true, maxRetries: 5 })
    dirs.delete(dir)
  })
  if ((await statfs(dir)).type === TMPFS_MAGIC) {
    console.error('warning: the temporary directory is in memory, so fsync costs nothing; point TMPDIR at a disk')
  }
  return dir
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, LOOPBACK)
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('no free port')
  return address.port
}

export interface ServerSpec {
  readonly command: string
  readonly args: readonly string[]
  /** Working directory and place of the log. */
  readonly dir: string
  readonly env?: NodeJS.ProcessEnv
  /** Asked until it says so; may throw as long as the server is not there. */
  readonly ready: () => Promise<boolean>
}

/** Starts a server and waits until it is ready; it is stopped with the stack. */
export async function startServer(stack: AsyncDisposableStack, spec: ServerSpec): Promise<void> {
  const logPath = join(spec.dir, 'server.log')
  await using log = await open(logPath, 'a')
  const child = spawn(spec.command, spec.args, {
    cwd: spec.dir,
    env: { ...process.env, ...spec.env },
    stdio: ['ignore', log.fd, log.fd],
  })
  children.add(child)
  let ended = ''
  const end = new Promise<void>((resolve) => {
    const onEnd = (how: string) => {
      ended = how
      children.delete(child)
      resolve()
    }
    child.once('error', (error) => onEnd(error.message))
    child.once('exit', (code, signal) => onEnd(`exited with ${signal ?? code}`))
  })
  stack.defer(async () => {
    if (ended) return
    child.kill('SIGTERM')
    const kill = setTimeout(() => child.kill('SIGKILL'), STOP_WITHIN_MS)
    await end
    clearTimeout(kill)
  })

  const deadline = Date.now() + READY_WITHIN_MS
  while (!ended && Date.now() < deadline) {
    if (await spec.ready().catch(() => false)) return
    await sleep(50)
  }
  const tail = (await readFile(logPath, 'utf8')).split('\n').slice(-20).join('\n')
  throw new Error(`${spec.command} is not ready: ${ended || 'it took too long'}\n${tail}`)
}

export async function within(ms: number, work: Promise<unknown>): Promise<void> {
  const timer = new AbortController()
  await Promise.race([work, sleep(ms, undefined, { signal: timer.signal }).catch(() => undefined)])
  timer.abort()
}
