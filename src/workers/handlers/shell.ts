// Runs a script with bash, in a process group of its own, and leaves nothing of it behind.
import { delimiter, resolve } from 'node:path'
import type { z } from 'zod'
import { boundedText } from '../../domain/bounded-text.ts'
import type { Json } from '../../domain/message.ts'
import { resolvedInputs } from '../../domain/workflow/builtin-inputs.ts'
import { type Handler, type StageContext, StageFailure } from '../../ports/handler.ts'
import { parseInput } from '../../sdk/parse-input.ts'
import { type Ended, runScript } from './script.ts'
import { followCheckpoints } from './script-checkpoints.ts'
import { createAttemptFiles, enterWorkspace, readWritten } from './script-files.ts'

/** What a script sees of the program's own environment. Everything else, secrets above all, stays out. */
const PASSED_ON = ['PATH', 'HOME', 'USER', 'LOGNAME', 'SHELL', 'LANG', 'LANGUAGE', 'LC_ALL', 'LC_CTYPE', 'TZ', 'TMPDIR']
const DEFAULT_PATH = '/usr/local/bin:/usr/bin:/bin'
/** What npm puts in front of PATH for the scripts of a package: this project's tools, which are none of a stage's. */
const ADDED_BY_NPM = /[/](node_modules[/][.]bin|node-gyp-bin)[/]?$/
const TAIL_LINES = 20
const TAIL_LINE_LENGTH = 500
const MESSAGE_TAIL_LENGTH = 4_000

type Variables = z.output<typeof resolvedInputs.shell>['env']

export type ShellOptions = {
  /** Holds one directory for each execution. */
  readonly workDir: string
  /** From SIGTERM to SIGKILL where a stage says nothing. */
  readonly graceMs?: number
  /** Marks every process started here; the same for the life of a data directory. */
  readonly instance: string
  /** The program's own environment, of which scripts see a short allow-list. */
  readonly environment: Readonly<Record<string, string | undefined>>
}

/**
 * The output of a stage is the JSON that its script writes to the file $MILLRACE_OUTPUT, at most 256 KiB; null when it
 * writes none. All stages of one run share a working directory.
 */
export function createShellHandler(options: ShellOptions): Handler {
  return {
    name: 'shell',
    run: (context) => runShell({ ...options, workDir: resolve(options.workDir) }, context),
  }
}

async function runShell(options: ShellOptions, context: StageContext): Promise<Json> {
  const input = parseInput(resolvedInputs.shell, context.input)
  const cwd = await enterWorkspace(options.workDir, context.executionId, input.cwd)
  const files = await createAttemptFiles(options.workDir, input.run, context.resume)
  try {
    const marks = marksOf(options.instance, context)
    const named = {
      ...marks,
      MILLRACE_OUTPUT: files.output,
      MILLRACE_CHECKPOINT: files.checkpoint,
      ...(context.resume === undefined ? {} : { MILLRACE_RESUME: files.resume }),
    }
    const tail: string[] = []
    await context.begun()
    const checkpoints = followCheckpoints(files.checkpoint, context)
    try {
      const ended = await runScript({
        files,
        cwd,
        env: { ...passedOn(options.environment), ...stringified(input.env), ...named },
        graceMs: input.grace ?? options.graceMs ?? 10_000,
        marks: Object.entries(marks).map(([name, value]) => `${name}=${value}`),
        signal: context.signal,
        log: (line, stream) => {
          if (stream === 'stderr') keepTail(tail, line)
          context.log(line, stream)
        },
      })
      if (ended.exitCode !== 0) throw failureOf(ended, tail)
    } finally {
      await checkpoints.stop()
    }
    return (await readWritten(files.output, 'OUTPUT')) ?? null
  } finally {
    await files.remove()
  }
}

const marksOf = (instance: string, context: StageContext): Record<string, string> => ({
  MILLRACE_INSTANCE: instance,
  MILLRACE_NAMESPACE: context.namespace,
  MILLRACE_EXECUTION: context.executionId,
  MILLRACE_STAGE: context.stage,
  MILLRACE_ATTEMPT: String(context.attempt),
})

function passedOn(environment: ShellOptions['environment']): Record<string, string> {
  const entries = PASSED_ON.flatMap((name) => {
    const value = environment[name]
    return value === undefined ? [] : [[name, value] as const]
  })
  return { ...Object.fromEntries(entries), PATH: pathOf(environment) || DEFAULT_PATH }
}

/** Only npm's own children have `npm_lifecycle_event`; elsewhere whoever starts the program chose every entry. */
function pathOf({ PATH = '', npm_lifecycle_event: startedByNpm }: ShellOptions['environment']): string {
  if (startedByNpm === undefined) return PATH
  const entries = PATH.split(delimiter)
  return entries.filter((entry) => !ADDED_BY_NPM.test(entry)).join(delimiter)
}

const stringified = (env: Variables): Record<string, string> =>
  Object.fromEntries(
    Object.entries(env).map(([name, value]) => [name, typeof value === 'string' ? value : JSON.stringify(value)]),
  )

function keepTail(tail: string[], line: string): void {
  tail.push(line.slice(0, TAIL_LINE_LENGTH))
  if (tail.length > TAIL_LINES) tail.shift()
}

function failureOf({ exitCode, signal }: Ended, tail: readonly string[]): StageFailure {
  const how = signal === null ? `the script exited with ${exitCode}` : `the script was killed by ${signal}`
  // The end of what it said tells most.
  const said = tail.join('\n').slice(-MESSAGE_TAIL_LENGTH)
  const message = boundedText(said === '' ? how : `${how}:\n${said}`, 4_096)
  if (signal !== null) return new StageFailure({ code: 'KILLED', signal, message })
  return new StageFailure({ code: 'EXIT_NONZERO', message, ...(exitCode === null ? {} : { exitCode }) })
}
