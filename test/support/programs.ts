// Programs that tests start: their lines, how they ended, and no way for one to stay behind.
import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'

export type Ended = { readonly code: number | null; readonly signal: NodeJS.Signals | null }

export type Program = {
  readonly child: ChildProcess
  readonly lines: string[]
  readonly errors: string[]
  readonly ended: Promise<Ended>
  /** Resolves once `enough` holds of the lines of standard output; rejects when the program ends before. */
  until(enough: (lines: readonly string[]) => boolean): Promise<void>
  /** The same of standard error. */
  untilErrors(enough: (errors: readonly string[]) => boolean): Promise<void>
  stop(signal: NodeJS.Signals): Promise<Ended>
}

const running = new Set<Program>()

export function run(
  command: string,
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): Program {
  const child = spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] })
  const lines: string[] = []
  const errors: string[] = []
  const waiting = new Set<() => void>()
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => resolve({ code, signal }))
  })
  const collect = (input: Readable, into: string[]) =>
    createInterface({ input }).on('line', (line) => {
      into.push(line)
      for (const look of waiting) look()
    })
  collect(child.stdout!, lines)
  collect(child.stderr!, errors)
  const until = (enough: () => boolean) =>
    new Promise<void>((resolve, reject) => {
      const look = () => {
        if (!enough()) return
        waiting.delete(look)
        resolve()
      }
      waiting.add(look)
      ended.then(({ code, signal }) => {
        look()
        if (waiting.has(look)) reject(new Error(`ended with ${code ?? signal} before that: ${errors.join('\n')}`))
      }, reject)
      look()
    })
  const program: Program = {
    child,
    lines,
    errors,
    ended,
    until: (enough) => until(() => enough(lines)),
    untilErrors: (enough) => until(() => enough(errors)),
    stop(signal) {
      child.kill(signal)
      return ended
    },
  }
  running.add(program)
  const forget = () => running.delete(program)
  ended.then(forget, forget)
  return program
}

/** Runs a file of TypeScript on the Node that the tests run on. */
export const runNode = (file: string, args: readonly string[], options?: Parameters<typeof run>[2]): Program =>
  run(process.execPath, [file, ...args], options)

/** For `afterEach`: ends what a failed test left running. */
export async function endPrograms(): Promise<void> {
  await Promise.all([...running].map((program) => program.stop('SIGKILL')))
}
