// A server that a test runs as a process of its own, does harm to, and starts again on the same address and data.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'

export type Server = { readonly url: string; stop(): Promise<void> }

/** One that is the test's own, to do with as it likes. */
export type OwnServer = Server & {
  /** Ends it at once, without a chance to write anything down. */
  kill(): Promise<void>
  /** Starts one that was killed, on the same address; `emptied`: without its data. */
  restart(options?: { emptied?: boolean }): Promise<void>
  /** SIGSTOP: it keeps its connections and takes new ones, and answers nothing. */
  pause(): void
  /** SIGCONT. */
  resume(): void
}

const READY_MS = 60_000
const left = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of left) child.kill('SIGKILL')
})

/** @param options.isReady rejects until the server answers; `empty` takes its data away while it does not run */
export async function startServerProcess(options: {
  readonly url: string
  readonly folder: string
  readonly command: string
  readonly args: readonly string[]
  readonly identity?: { readonly uid?: number; readonly gid?: number }
  /** SIGKILL, unless processes of its own would outlive it. */
  readonly killSignal?: NodeJS.Signals
  readonly askEveryMs?: number
  isReady(): Promise<unknown>
  empty(): Promise<void>
}): Promise<OwnServer> {
  const { url, folder, command, args, identity = {}, killSignal = 'SIGKILL', askEveryMs = 20, isReady, empty } = options
  let child: ChildProcess
  let said = ''

  async function start(): Promise<void> {
    said = ''
    child = spawn(command, args, {
      ...identity,
      cwd: folder,
      env: { ...process.env, HOME: folder },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const started = child
    left.add(started)
    for (const output of [child.stdout!, child.stderr!])
      output.on('data', (data: Buffer) => {
        said = `${said}${data}`.slice(-4_000)
      })
    const ended = new Promise<true>((resolve) => {
      started.once('error', () => resolve(true))
      started.once('exit', () => resolve(true))
    })
    void ended.then(() => left.delete(started))
    for (const deadline = Date.now() + READY_MS; ; ) {
      const problem = await isReady().then(
        () => undefined,
        (error: Error) => error,
      )
      if (problem === undefined) return
      if ((await Promise.race([ended, delay(askEveryMs, false)])) || Date.now() > deadline) {
        started.kill('SIGKILL')
        throw new Error(`${command} did not start (${problem.message}): ${said}`)
      }
    }
  }

  async function kill(): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill('SIGCONT')
    child.kill(killSignal)
    await ended
  }

  await start()
  return {
    url,
    kill,
    async restart({ emptied = false } = {}) {
      await kill()
      if (emptied) await empty()
      await start()
    },
    pause: () => void child.kill('SIGSTOP'),
    resume: () => void child.kill('SIGCONT'),
    async stop() {
      await kill()
      await rm(folder, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}
