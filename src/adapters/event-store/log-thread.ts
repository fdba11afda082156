import { Worker } from 'node:worker_threads'
import { StoreUnavailable } from '../../ports/event-store.ts'
import type { Reply, Request } from './embedded-thread.ts'

/** A thread that the program cannot do without has ended by itself. */
export class ThreadCrashed extends Error {
  constructor(what: string, cause: Error) {
    super(`${what} has crashed: ${cause.message}`, { cause })
    this.name = 'ThreadCrashed'
  }
}

/** One worker thread and the questions it has not answered yet. */
export class LogThread {
  readonly #worker: Worker
  readonly #asked = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>()
  readonly #what: string
  readonly #receiver: { ended(error: ThreadCrashed): void }
  #seq = -1
  #ended: ThreadCrashed | undefined

  constructor(
    folder: string,
    watch: boolean,
    receiver: { received(reply: Reply): void; ended(error: ThreadCrashed): void },
  ) {
    this.#what = `the event log's ${watch ? 'reader' : 'writer'}`
    this.#receiver = receiver
    this.#worker = new Worker(new URL('./embedded-thread.ts', import.meta.url), { workerData: { folder, watch } })
    this.#worker.on('message', (reply: Reply) => {
      if (reply.kind === 'done' || reply.kind === 'rows') {
        this.#take(reply.seq)?.resolve(reply.kind === 'done' ? reply.value : reply.rows)
      } else if (reply.kind === 'failed' && reply.seqs.every((seq) => seq < 0)) {
        for (const seq of reply.seqs) this.#take(seq)?.reject(new StoreUnavailable(reply.message, !reply.maybeWritten))
      } else receiver.received(reply)
    })
    this.#worker.on('error', (error) => this.#end(error as Error))
    this.#worker.on('exit', (code) => this.#end(new Error(`exit code ${code}`)))
  }

  /** Appends count up from 1 and questions down from -1, so that a failure finds its owner. */
  ask<T>(request: Exclude<Request, { kind: 'append' }>): Promise<T> {
    if (this.#ended) return Promise.reject(new StoreUnavailable(this.#ended.message, true))
    return new Promise<T>((resolve, reject) => {
      const seq = this.#seq--
      this.#asked.set(seq, { resolve: resolve as (value: unknown) => void, reject })
      this.#worker.postMessage({ ...request, seq })
    })
  }

  post(request: Request): void {
    if (this.#ended) throw new StoreUnavailable(this.#ended.message, true)
    this.#worker.postMessage(request)
  }

  async close(): Promise<void> {
    if (!this.#ended) await this.ask({ kind: 'close', seq: 0 })
    await this.terminate()
  }

  async terminate(): Promise<void> {
    await this.#worker.terminate()
  }

  #take(seq: number): { resolve(value: unknown): void; reject(error: Error): void } | undefined {
    const asked = this.#asked.get(seq)
    this.#asked.delete(seq)
    return asked
  }

  #end(error: Error): void {
    if (this.#ended) return
    this.#ended = new ThreadCrashed(this.#what, error)
    for (const seq of [...this.#asked.keys()]) this.#take(seq)?.reject(new StoreUnavailable(error.message, true, error))
    this.#receiver.ended(this.#ended)
  }
}
