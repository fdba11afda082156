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

const OUTPUT_LIMIT_BYTES = 256 * 1024
const ATTEMPTS = '.attempts'

export type AttemptFiles = {
  readonly script: string
  readonly output: string
  readonly stdout: string
  readonly stderr: string
  remove(): Promise<void>
}

/**
 * They stand beside the working directories, so that a script that packs or clears its directory doesn't meet them.
 * Standard output and error are named pipes: those that Node makes are sockets, and `> /dev/stderr` fails on these.
 */
export async function createAttemptFiles(workDir: string, script: string): Promise<AttemptFiles> {
  const parent = join(workDir, ATTEMPTS)
  await mkdir(parent, { recursive: true })
  const folder = await mkdtemp(join(parent, 'a-'))
  const files = {
    script: join(folder, 'script.sh'),
    output: join(folder, 'output.json'),
    stdout: join(folder, 'stdout'),
    stderr: join(folder, 'stderr'),
    remove: () => rm(folder, { recursive: true, force: true }),
  }
  await writeFile(files.script, script)
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

/** What the script wrote to MILLRACE_OUTPUT; null when it wrote nothing there. */
export async function readOutput(path: string): Promise<Json> {
  const text = await readBounded(path)
  if (text.trim() === '') return null
  try {
    return parseJsonDocument(text)
  } catch (error) {
    throw invalidOutput((error as Error).message)
  }
}

async function readBounded(path: string): Promise<string> {
  let file: FileHandle
  try {
    // A script may have put a pipe or a link there; neither may block us or lead us elsewhere.
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ''
    throw invalidOutput('it is not a plain file')
  }
  try {
    if (!(await file.stat()).isFile()) throw invalidOutput('it is not a plain file')
    const { bytesRead, buffer } = await file.read(Buffer.alloc(OUTPUT_LIMIT_BYTES + 1))
    if (bytesRead > OUTPUT_LIMIT_BYTES) throw tooLarge()
    return new TextDecoder('utf-8', { fatal: true }).decode(buffer.subarray(0, bytesRead))
  } catch (error) {
    throw error instanceof TypeError ? invalidOutput('it is not UTF-8') : error
  } finally {
    await file.close()
  }
}

const invalidOutput = (why: string): StageFailure =>
  new StageFailure({
    code: 'OUTPUT_INVALID',
    message: `MILLRACE_OUTPUT is not usable JSON: ${why.slice(0, 300)}`,
    // The same script writes the same again.
    retryable: false,
  })

const tooLarge = (): StageFailure =>
  new StageFailure({
    code: 'OUTPUT_TOO_LARGE',
    message: `MILLRACE_OUTPUT is larger than ${OUTPUT_LIMIT_BYTES} bytes; keep files in the working directory and name them in the output`,
    retryable: false,
  })
