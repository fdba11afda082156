// A thread with a connection of its own: as writer it commits whatever waits with one fsync, as reader it answers
// reads and notices what other processes have appended.
import { join } from 'node:path'
import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { type AppendOutcome, type AppendRequest, EmbeddedLog, LOG_FILE, type StoredRow } from './embedded-log.ts'
import { explained, isBreaking, isRefusal, isWriteError } from './sqlite-errors.ts'

export type Request =
  | { readonly kind: 'append'; readonly requests: readonly AppendRequest[] }
  | { readonly kind: 'truncate'; readonly seq: number; readonly stream: string; readonly keepLast: number }
  | { readonly kind: 'putBack'; readonly seq: number; readonly stream: string; readonly rows: readonly StoredRow[] }
  | {
      readonly kind: 'readStream'
      readonly seq: number
      readonly stream: string
      readonly from: number
      readonly backwards: boolean
      readonly limit: number
    }
  | { readonly kind: 'readAll'; readonly seq: number; readonly after: number; readonly limit: number }
  | { readonly kind: 'head'; readonly seq: number }
  | { readonly kind: 'close'; readonly seq: number }

/** `failed.written` says whether the events of a failed append may stand in the log all the same. */
export type Reply =
  | { readonly kind: 'outcomes'; readonly outcomes: readonly AppendOutcome[] }
  | { readonly kind: 'rows'; readonly seq: number; readonly rows: readonly StoredRow[] }
  | { readonly kind: 'done'; readonly seq: number; readonly value: number }
  | {
      readonly kind: 'failed'
      readonly seqs: readonly number[]
      readonly message: string
      readonly maybeWritten: boolean
    }
  | { readonly kind: 'moved'; readonly head: number }
  /** Nothing can be written now, by no fault of what was to be written; trying again is fine. */
  | { readonly kind: 'refusing'; readonly message: string }
  /** Nothing will be written any more. */
  | { readonly kind: 'broken'; readonly message: string }

/** How often a reader looks for what others have appended, milliseconds. */
const WATCH_EVERY_MS = 10

const { folder, watch } = workerData as { folder: string; watch: boolean }
const port = parentPort as MessagePort
const log = new EmbeddedLog(folder, { writes: !watch })
/**
 * Set by an I/O error or by damage, and then nothing is written any more. After a failed fsync the kernel may count
 * pages as written that are not, so that a second try would succeed without having reached the disk; only reading the
 * file anew tells.
 */
let broken: string | undefined
const reply = (message: Reply): void => port.postMessage(message)

port.on('message', (first: Request) => {
  const appends: AppendRequest[] = []
  // Everything that waits by now shares one commit.
  for (let next: { message: Request } | undefined = { message: first }; next; next = receiveMessageOnPort(port)) {
    if (next.message.kind === 'append') appends.push(...next.message.requests)
    else {
      commit(appends.splice(0))
      answer(next.message)
    }
  }
  commit(appends)
})

function commit(requests: AppendRequest[]): void {
  if (requests.length === 0) return
  const seqs = requests.map(({ seq }) => seq)
  if (broken) {
    reply({ kind: 'failed', seqs, message: broken, maybeWritten: false })
    return
  }
  try {
    reply({ kind: 'outcomes', outcomes: log.appendAll(requests) })
  } catch (error) {
    // One bad append must not fail its neighbours: alone, each is judged by itself.
    if (requests.length > 1 && !isWriteError(error)) for (const request of requests) commit([request])
    else fail(seqs, error)
  }
}

function answer(request: Exclude<Request, { kind: 'append' }>): void {
  try {
    reply(execute(request))
  } catch (error) {
    fail([request.seq], error)
  }
  if (request.kind === 'close') port.close()
}

function execute(request: Exclude<Request, { kind: 'append' }>): Reply {
  switch (request.kind) {
    case 'readStream':
      return {
        kind: 'rows',
        seq: request.seq,
        rows: log.readStream(request.stream, request.from, request.backwards, request.limit),
      }
    case 'readAll':
      return { kind: 'rows', seq: request.seq, rows: log.readAll(request.after, request.limit) }
    case 'head':
      return { kind: 'done', seq: request.seq, value: log.head() }
    case 'truncate':
      if (broken) throw new Error(broken)
      log.truncate(request.stream, request.keepLast)
      return { kind: 'done', seq: request.seq, value: 0 }
    case 'putBack':
      if (broken) throw new Error(broken)
      log.putBack(request.stream, request.rows)
      return { kind: 'done', seq: request.seq, value: 0 }
    case 'close':
      clearInterval(watcher)
      log.close()
      return { kind: 'done', seq: request.seq, value: 0 }
  }
}

function fail(seqs: number[], error: unknown): void {
  const { message } = explained(error, join(folder, LOG_FILE))
  reply({ kind: 'failed', seqs, message, maybeWritten: !watch && isWriteError(error) })
  // A read that fails, perhaps of one old page, is the matter of who asked.
  if (watch) return
  if (isBreaking(error) && !broken) {
    broken = `writing it failed before (${message}); what the disk holds is only known once the program has been started again`
    reply({ kind: 'broken', message })
  } else if (isRefusal(error)) reply({ kind: 'refusing', message })
}

let seenVersion = watch ? log.dataVersion() : 0
const watcher = watch
  ? setInterval(() => {
      const version = log.dataVersion()
      if (version === seenVersion) return
      seenVersion = version
      reply({ kind: 'moved', head: log.head() })
    }, WATCH_EVERY_MS)
  : undefined
