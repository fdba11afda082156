// What the test server does wrong on command, call by call.
export type Broken = 'append' | 'read' | 'subscribe'

/**
 * `lose`: the call ends before anything was done. `loseAnswer`: it ends after it was done. `ignore`: it is neither done nor
 * answered. `hang`: done, and never answered. `late`: done and answered, after `lateMs`. `conflict`: answered as if others
 * had written. `deny`: the caller may not. `busy`: not done, and says so.
 */
export type Fault = 'lose' | 'loseAnswer' | 'ignore' | 'hang' | 'late' | 'conflict' | 'deny' | 'busy'

export class Faults {
  readonly #planned: Record<Broken, Fault[]> = { append: [], read: [], subscribe: [] }
  /** How many calls of each kind came in. */
  readonly calls: Record<Broken, number> = { append: 0, read: 0, subscribe: 0 }
  /** How many messages were written to each subscription, the oldest first. */
  readonly told: number[] = []
  /** How many subscriptions are open. */
  open = 0
  /** As some servers do: a repeat is a success, but they do not say where it stands. */
  hidesPlaceOfRepeats = false
  lateMs = 0

  /** The next calls of this kind go wrong like this, one after the other. */
  plan(what: Broken, ...faults: readonly Fault[]): void {
    this.#planned[what].push(...faults)
  }

  /** What is to go wrong with the call that just came in. */
  next(what: Broken): Fault | undefined {
    this.calls[what]++
    return this.#planned[what].shift()
  }
}
