// One run of bash from its start until nothing of it is left.
import { type ChildProcess, spawn } from 'node:child_process'
import { StageFailure } from '../../ports/handler.ts'
import { endGroup, killGroup, killMarked } from './processes.ts'
import type { AttemptFiles } from './script-files.ts'
import { ScriptPipe } from './script-pipe.ts'
import { stopped } from './stage-error.ts'

export type Script = {
  readonly files: AttemptFiles
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
  /** From SIGTERM to SIGKILL. */
  readonly graceMs: number
  /** What every process of this attempt has in its environment, as `NAME=value`. */
  readonly marks: readonly string[]
  readonly signal: AbortSignal
  log(text: string, stream: 'stdout' | 'stderr' | 'log'): void
}

export type Ended = { readonly exitCode: number | null; readonly signal: NodeJS.Signals | null }

/** Resolves, or throws what `signal` stopped it for, once no process of the script is left and every line was logged. */
export async function runScript(script: Script): Promise<Ended> {
  const stdout = new ScriptPipe(script.files.stdout, (line) => script.log(line, 'stdout'))
  try {
    const stderr = new ScriptPipe(script.files.stderr, (line) => script.log(line, 'stderr'))
    try {
      if (script.signal.aborted) throw stopped(script.signal)
      const { group, ended } = await start(script, stdout, stderr)
      return await supervise(script, group, ended)
    } finally {
      await stderr.drain()
    }
  } finally {
    await stdout.drain()
  }
}

async function start(script: Script, stdout: ScriptPipe, stderr: ScriptPipe) {
  const child = spawnBash(script, stdout.writeEnd, stderr.writeEnd)
  stdout.closeWriteEnd()
  stderr.closeWriteEnd()
  const ended = new Promise<Ended>((resolve) => {
    child.once('exit', (exitCode, signal) => resolve({ exitCode, signal }))
  })
  await new Promise((resolve, reject) => {
    child.once('spawn', resolve)
    child.once('error', (error) => reject(notStarted(error)))
  })
  // A detached child leads a new group, which has its id.
  return { group: child.pid!, ended }
}

function spawnBash({ files, cwd, env }: Script, stdout: number, stderr: number): ChildProcess {
  try {
    return spawn('bash', ['-euo', 'pipefail', files.script], {
      cwd,
      env,
      detached: true,
      stdio: ['ignore', stdout, stderr],
    })
  } catch (error) {
    throw notStarted(error as Error)
  }
}

/** The message of the system says which call failed; the environment is not in it. */
const notStarted = (error: Error): StageFailure =>
  new StageFailure({
    code: 'SPAWN_FAILED',
    message: error.message.includes('E2BIG')
      ? 'bash did not start: a value in with.env is too large; hand it over in a file'
      : `bash did not start: ${error.message}`,
  })

async function supervise(script: Script, group: number, ended: Promise<Ended>): Promise<Ended> {
  const stop = stopAsked(script.signal)
  const first = await Promise.race([ended, stop.asked])
  stop.forget()
  if (first === 'stop') await endGroup(group, script.graceMs)
  // Also after a normal exit: what a script left running in the background would hold the machine for nobody.
  const gone = await killGroup(group)
  await killMarked(script.marks)
  if (!gone) script.log('some processes of this stage could not be killed', 'log')
  if (first === 'stop') throw stopped(script.signal)
  return first
}

function stopAsked(signal: AbortSignal): { asked: Promise<'stop'>; forget(): void } {
  const { promise, resolve } = Promise.withResolvers<'stop'>()
  const onAbort = () => resolve('stop')
  signal.addEventListener('abort', onAbort, { once: true })
  if (signal.aborted) onAbort()
  return { asked: promise, forget: () => signal.removeEventListener('abort', onAbort) }
}
