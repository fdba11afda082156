/** What of one partition came and is not done: done in any order, committed up to the lowest that is not. */
export class Unhandled {
  /** In the order of their offsets, since a Set keeps that in which they came. */
  readonly #open = new Set<number>()
  #next: number
  #committed: number

  /** @param from the first offset that comes */
  constructor(from: number) {
    this.#next = from
    this.#committed = from
  }

  /** False where it has come before. */
  arrived(offset: number): boolean {
    if (offset < this.#next) return false
    this.#next = offset + 1
    this.#open.add(offset)
    return true
  }

  done(offset: number): void {
    this.#open.delete(offset)
  }

  /** Everything before it is done. */
  get position(): number {
    return this.#open.values().next().value ?? this.#next
  }

  get moved(): boolean {
    return this.position > this.#committed
  }

  committed(position: number): void {
    this.#committed = position
  }
}
