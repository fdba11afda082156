// The real program as a process of its own: started, killed, started again, and nothing of it left when the test is over.
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, readdir, readFile, readlink, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, sep } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { stopLeftover } from '../../src/adapters/read-models/postmaster.ts'

const MAIN = join(import.meta.dirname, '../../src/main.ts')
const READY_WITHIN_MS = 60_000
const KEPT_STDERR = 20_000

type Scope = { onTestFinished(close: () => Promise<void>): void; onTestFailed(report: () => void): void }

export type Ended = { readonly code: number | null; readonly signal: NodeJS.Signals | null }

export type Program = {
  readonly pid: number
  /** The address of the API, once the program says that it is ready. Rejects when the program ends before that. */
  readonly ready: Promise<string>
  readonly ended: Promise<Ended>
  stderr(): string
  /** Sends the signal and resolves once the process has ended. */
  kill(signal: NodeJS.Signals): Promise<Ended>
}

/** A data directory and the programs that run on it, one after another. */
export type Home = {
  readonly data: string
  /** A folder beside the data, for what stages do to the world. */
  readonly effects: string
  start(...flags: string[]): Program
  startWith(env: Readonly<Record<string, string>>): Program
  /** Every process that works in the data directory or for it, but for the program itself. */
  leftovers(): Promise<readonly Process[]>
}

export type Process = { readonly pid: number; readonly command: string }

/** Ends what still runs and removes the folder after the test; tells what the last programs said where it failed. */
export async function makeHome(scope: Scope): Promise<Home> {
  const data = await mkdtemp(join(tmpdir(), 'millrace-chaos-'))
  const effects = await mkdtemp(join(tmpdir(), 'millrace-effects-'))
  const programs: Program[] = []
  const start = (flags: readonly string[], env: NodeJS.ProcessEnv = {}): Program => {
    const program = startProgram(data, flags, env)
    programs.push(program)
    return program
  }
  const leftovers = (): Promise<readonly Process[]> => processesOf(data, new Set(programs.map(({ pid }) => pid)))
  scope.onTestFailed(() => {
    for (const { pid, stderr } of programs.slice(-3)) console.error(`program ${pid} said:\n${stderr()}`)
  })
  scope.onTestFinished(async () => {
    await Promise.all(programs.map((program) => program.kill('SIGKILL')))
    await stopLeftover(join(data, 'postgres'))
    for (const { pid } of await leftovers()) endProcess(pid)
    for (const folder of [data, effects]) await rm(folder, { recursive: true, force: true, maxRetries: 5 })
  })
  return {
    data,
    effects,
    leftovers,
    start: (...flags) => start(flags),
    startWith: (env) => start([], env),
  }
}

function startProgram(data: string, flags: readonly string[], env: NodeJS.ProcessEnv): Program {
  const args = [MAIN, 'start', '--port', '0', '--data', data, '--log-level', 'warn', ...flags]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } })
  let said = ''
  child.stderr.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-KEPT_STDERR)
  })
  const ended = new Promise<Ended>((resolve) => {
    // After the pipes have closed, so that its last words are there.
    child.once('close', (code, signal) => resolve({ code, signal }))
  })
  const ready = addressOf(child, ended, () => said)
  // Who kills a program during its start does not wait for it to be ready.
  ready.catch(() => {})
  return {
    pid: child.pid!,
    ready,
    ended,
    stderr: () => said,
    async kill(signal) {
      child.kill(signal)
      return ended
    },
  }
}

async function addressOf(child: ChildProcess, ended: Promise<Ended>, stderr: () => string): Promise<string> {
  let said = ''
  const listening = new Promise<string>((resolve) => {
    child.stdout!.on('data', (chunk: Buffer) => {
      said += chunk.toString()
      const address = /listens on (\S+)/.exec(said)?.[1]
      if (address !== undefined) resolve(address)
    })
  })
  const failed = ended.then(({ code, signal }) => {
    throw new Error(`the program ended with ${code ?? signal} before it was ready:\n${stderr()}`)
  })
  const late = delay(READY_WITHIN_MS, undefined, { ref: false }).then(() => {
    throw new Error(`the program was not ready after ${READY_WITHIN_MS} ms:\n${stderr()}`)
  })
  return Promise.race([listening, failed, late])
}

/** Whatever has the folder in its command line or works in it, or carries the mark that scripts of the folder get. */
async function processesOf(data: string, except: ReadonlySet<number>): Promise<readonly Process[]> {
  const instance = await readFile(join(data, 'instance'), 'utf8').catch(() => '')
  const mark = instance === '' ? undefined : `MILLRACE_INSTANCE=${instance.trim()}`
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number)
  const found = await Promise.all(
    pids.map(async (pid) => {
      const read = (file: string) => readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '')
      const [command, environ, cwd] = await Promise.all([
        read('cmdline'),
        read('environ'),
        readlink(`/proc/${pid}/cwd`).catch(() => ''),
      ])
      const marked = mark !== undefined && environ.split('\0').includes(mark)
      const works = cwd === data || cwd.startsWith(data + sep) || command.includes(data)
      return (marked || works) && !except.has(pid) ? [{ pid, command: command.replaceAll('\0', ' ') }] : []
    }),
  )
  return found.flat()
}

function endProcess(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has ended by itself.
  }
}
