/**
 * What was used lately, by name, in two generations. The older goes as a whole: letting go of one at a time means finding
 * the oldest in a Map, which passes by all that were taken out before it.
 */
export class RecentlyUsed<V> {
  readonly #most: number
  readonly #isBusy: (value: V) => boolean
  #young = new Map<string, V>()
  #old = new Map<string, V>()

  /** @param most about how many are kept; what is busy is kept in any case */
  constructor(most: number, isBusy: (value: V) => boolean) {
    this.#most = most
    this.#isBusy = isBusy
  }

  get(name: string): V | undefined {
    const young = this.#young.get(name)
    if (young !== undefined) return young
    const old = this.#old.get(name)
    if (old !== undefined) this.set(name, old)
    return old
  }

  set(name: string, value: V): void {
    if (this.#young.size >= this.#most / 2) this.#age()
    this.#young.set(name, value)
  }

  delete(name: string): void {
    this.#young.delete(name)
    this.#old.delete(name)
  }

  #age(): void {
    const gone = this.#old
    this.#old = this.#young
    this.#young = new Map([...gone].filter(([name, value]) => this.#isBusy(value) && !this.#old.has(name)))
  }
}
