// What is found where things are compared: the first of it, and how much there is.

/** Something derived that is not as the log says: a row, a checkpoint, an attempt, a timer, a lease. */
export type Drift = { readonly where: string; readonly key: string; readonly what: string }

/** At most the first of many, and how many there are. */
export type Listed<T> = { readonly total: number; readonly items: readonly T[] }

/** How many findings are listed, and how many rows of each table. */
export const MOST_LISTED = 100

/** Keeps the first of what is found and counts the rest. */
export class Findings<T> {
  #total = 0
  readonly #items: T[] = []

  add(item: T): void {
    this.#total++
    if (this.#items.length < MOST_LISTED) this.#items.push(item)
  }

  /** Those that were found beyond the listed ones. */
  addListed({ total, items }: Listed<T>): void {
    for (const item of items) this.add(item)
    this.#total += total - items.length
  }

  listed(): Listed<T> {
    return { total: this.#total, items: this.#items }
  }
}
