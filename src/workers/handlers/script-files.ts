// The files of one attempt of a script: the script itself, the pipes it writes to, and what it leaves as its output.
import { execFile } from 'node:child_process'
import { constants } from 'node:fs'
import { type FileHandle, mkdir, mkdtemp, open, realpath, rm, writeFile } from 'node:fs/promises'
import { isAbsolute, join, sep } from 'node:path'
import { promisify } from 'node:util'
import type { Json } from '../../domain/message.ts'
import { StageFailure } from '../../ports/handler.ts'
import { invalidInput } from '../../sdk/parse-input.ts'
import { parseJsonDocument } from './json-document.ts'

const LIMIT_BYTES = 256 * 1024
const ATTEMPTS = '.attempts'

export type AttemptFiles = {
  readonly script: string
  readonly output: string
  readonly checkpoint: string
  readonly resume: string
  readonly stdout: string
  readonly stderr: string
  remove(): Promise<void>
}

/**
 * They stand beside the working directories, so that a script that packs or clears its directory doesn't meet them.
 * Standard output and error are named pipes: those that Node makes are sockets, and `> /dev/stderr` fails on these.
 */
export async function createAttemptFiles(
  workDir: string,
  script: string,
  resume: Json | undefined,
): Promise<AttemptFiles> {
  const parent = join(workDir, ATTEMPTS)
  await mkdir(parent, { recursive: true })
  const folder = await mkdtemp(join(parent, 'a-'))
  const files = {
    script: join(folder, 'script.sh'),
    output: join(folder, 'output.json'),
    checkpoint: join(folder, 'checkpoint.json'),
    resume: join(folder, 'resume.json'),
    stdout: join(folder, 'stdout'),
    stderr: join(folder, 'stderr'),
    remove: () => rm(folder, { recursive: true, force: true }),
  }
  await writeFile(files.script, script)
  if (resume !== undefined) await writeFile(files.resume, JSON.stringify(resume))
  await promisify(execFile)('mkfifo', [files.stdout, files.stderr])
  return files
}

/** Removes what attempts left that a crash cut short; only for who knows that none is under way. */
export const removeLeftoverFiles = (workDir: string): Promise<void> =>
  rm(join(workDir, ATTEMPTS), { recursive: true, force: true })

/** The directory that all stages of one run share, or the folder `cwd` inside it. */
export async function enterWorkspace(workDir: string, executionId: string, cwd: string): Promise<string> {
  if (!/^[A-Za-z0-9][\w.-]{0,127}$/.test(executionId)) throw new Error('not an execution id')
  const workspace = join(workDir, executionId)
  await mkdir(workspace, { recursive: true })
  const root = await realpath(workspace)
  const wanted = join(root, cwd)
  if (isAbsolute(cwd) || !isInside(root, wanted)) throw outside(cwd)
  const real = await realpath(wanted).catch(() => {
    throw invalidInput(`cwd: there is no ${JSON.stringify(cwd)} in the working directory of the run`)
  })
  if (!isInside(root, real)) throw outside(cwd)
  return real
}

const outside = (cwd: string): StageFailure =>
  invalidInput(`cwd: ${JSON.stringify(cwd)} is outside the working directory of the run`)

const isInside = (root: string, path: string): boolean => path === root || path.startsWith(root + sep)

/** What scripts write for us to read, as in MILLRACE_OUTPUT and OUTPUT_INVALID. */
type Written = 'OUTPUT' | 'CHECKPOINT'

/** What the script wrote to MILLRACE_OUTPUT or MILLRACE_CHECKPOINT; undefined when it wrote nothing there. */
export async function readWritten(path: string, name: Written): Promise<Json | undefined> {
  const text = await readBounded(path, name)
  if (text.trim() === '') return undefined
  try {
    return parseJsonDocument(text)
  } catch (error) {
    throw invalid(name, (error as Error).message)
  }
}

async function readBounded(path: string, name: Written): Promise<string> {
  let file: FileHandle
  try {
    // A script may have put a pipe or a link there; neither may block us or lead us elsewhere.
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ''
    throw invalid(name, 'it is not a plain file')
  }
  try {
    if (!(await file.stat()).isFile()) throw invalid(name, 'it is not a plain file')
    const { bytesRead, buffer } = await file.read(Buffer.alloc(LIMIT_BYTES + 1))
    if (bytesRead > LIMIT_BYTES) throw tooLarge(name)
    return new TextDecoder('utf-8', { fatal: true }).decode(buffer.subarray(0, bytesRead))
  } catch (error) {
    throw error instanceof TypeError ? invalid(name, 'it is not UTF-8') : error
  } finally {
    await file.close()
  }
}

const invalid = (name: Written, why: string): StageFailure =>
  new StageFailure({
    code: `${name}_INVALID`,
    message: `MILLRACE_${name} is not usable JSON: ${why.slice(0, 300)}`,
    // The same script writes the same again.
    retryable: false,
  })

const tooLarge = (name: Written): StageFailure =>
  new StageFailure({
    code: `${name}_TOO_LARGE`,
    message: `MILLRACE_${name} is larger than ${LIMIT_BYTES} bytes; keep files in the working directory and name them in it`,
    retryable: false,
  })
