import { setTimeout as pass } from 'node:timers/promises'
import type { Clock } from '../../ports/clock.ts'
import type { LogLine, StageLogWriter } from '../../ports/stage-logs.ts'
import { ATTEMPT_LIMIT_BYTES, FLUSH_AFTER_MS, FLUSH_BYTES, LIMIT_NOTICE, TEXT_LIMIT } from './limits.ts'

/** How long the end of an attempt waits for its last lines to be away. */
const CLOSE_WITHIN_MS = 5_000
/** What stands around the text of a line. */
const AROUND_BYTES = 64

/** Sends the lines of one attempt in batches. What cannot be sent costs lines, never the stage. */
export class SentLogWriter implements StageLogWriter {
  readonly #clock: Clock
  readonly #send: (lines: readonly LogLine[]) => Promise<void>
  readonly #sending = new Set<Promise<void>>()
  #pending: LogLine[] = []
  #pendingLength = 0
  #bytes = 0
  #line = 0
  #shut = false
  #cancelTimer: (() => void) | undefined

  /** @param send never rejects */
  constructor(clock: Clock, send: (lines: readonly LogLine[]) => Promise<void>) {
    this.#clock = clock
    this.#send = send
  }

  write(stream: LogLine['stream'], text: string): void {
    for (let start = 0; start === 0 || start < text.length; start += TEXT_LIMIT) {
      if (this.#shut) return
      const piece = text.slice(start, start + TEXT_LIMIT)
      this.#bytes += Buffer.byteLength(piece) + AROUND_BYTES
      this.#shut = this.#bytes > ATTEMPT_LIMIT_BYTES
      this.#add(this.#shut ? 'log' : stream, this.#shut ? LIMIT_NOTICE : piece)
    }
    if (this.#pendingLength >= FLUSH_BYTES) this.#flush()
    else this.#cancelTimer ??= this.#clock.after(FLUSH_AFTER_MS, () => this.#flush())
  }

  async close(): Promise<void> {
    this.#shut = true
    this.#flush()
    const late = new AbortController()
    await Promise.race([Promise.all(this.#sending), pass(CLOSE_WITHIN_MS, undefined, late).catch(() => {})])
    late.abort()
  }

  #add(stream: LogLine['stream'], text: string): void {
    this.#pending.push({ line: ++this.#line, at: new Date(this.#clock.now()).toISOString(), stream, text })
    this.#pendingLength += text.length
  }

  #flush(): void {
    this.#cancelTimer?.()
    this.#cancelTimer = undefined
    if (this.#pending.length === 0) return
    const sending = this.#send(this.#pending).then(() => void this.#sending.delete(sending))
    this.#sending.add(sending)
    this.#pending = []
    this.#pendingLength = 0
  }
}
