/** What the client gives for a read or a subscription, both Readables: one is cancelled, the other unsubscribed. */
export type Source = {
  on(event: 'readable' | 'end' | 'close', listener: () => void): unknown
  on(event: 'error', listener: (error: Error) => void): unknown
  read(): unknown
  readonly readableLength: number
  destroy(): unknown
  cancel?(): Promise<void>
  unsubscribe?(): Promise<void>
}

/**
 * Takes events out of one stream of the client. Nothing is read ahead beyond the stream's own buffer, and leaving it always
 * ends the call: a `for await` that is left early would keep it open.
 */
export class Inlet<T> {
  readonly #source: Source
  #error: unknown
  #ended = false
  #wake = (): void => {}
  /** How many events were taken. */
  taken = 0

  constructor(source: Source) {
    this.#source = source
    source.on('error', (error) => {
      this.#error ??= error
      this.#ended = true
      this.wake()
    })
    source.on('end', () => this.#end())
    source.on('close', () => this.#end())
    source.on('readable', () => this.wake())
  }

  #end(): void {
    this.#ended = true
    this.wake()
  }

  /** How many events there will have been once what waits in the buffer is taken. */
  get coming(): number {
    return this.taken + this.#source.readableLength
  }

  get isEmpty(): boolean {
    return this.#source.readableLength === 0
  }

  /** True once nothing more will come. */
  get isOver(): boolean {
    return this.#ended && this.isEmpty
  }

  /** What is there already, at most so many. @throws what the stream failed with, once everything before it was taken */
  take(most: number): T[] {
    const events: T[] = []
    while (events.length < most) {
      const event = this.#source.read() as T | null
      if (event === null) break
      events.push(event)
    }
    this.taken += events.length
    if (events.length === 0 && this.#error !== undefined) throw this.#error
    return events
  }

  wake(): void {
    this.#wake()
  }

  /** Resolves when something has come or the stream has ended, true, or after so long, false. */
  wait(ms: number): Promise<boolean> {
    if (this.#ended || !this.isEmpty) return Promise.resolve(true)
    return new Promise((resolve) => {
      const timer = setTimeout(() => done(false), ms)
      const done = (came: boolean) => {
        clearTimeout(timer)
        this.#wake = () => {}
        resolve(came)
      }
      this.#wake = () => done(true)
    })
  }

  /** Waits for nothing: a call that is still looking for a server is let go of when it has found one. */
  close(): void {
    // A call that could not even be made fails again when it is let go of.
    ;(this.#source.cancel?.() ?? this.#source.unsubscribe?.())?.catch(() => {})
    this.#source.destroy()
  }
}
