/** What stands in a heap: the least `key` comes first, and of equal ones the least `order`. `place` is the heap's. */
export type Ranked = { key: number; order: number; place: number }

/** The first is at hand; adding an item, removing one and moving one whose rank changed cost O(log n). */
export class Heap<T extends Ranked> {
  readonly #items: T[] = []

  get size(): number {
    return this.#items.length
  }

  get first(): T | undefined {
    return this.#items[0]
  }

  values(): readonly T[] {
    return this.#items
  }

  push(item: T): void {
    this.#put(item, this.#items.length)
    this.#rise(item)
  }

  shift(): T | undefined {
    const first = this.first
    if (first !== undefined) this.remove(first)
    return first
  }

  /** False where the item is not in the heap. */
  remove(item: T): boolean {
    if (this.#items[item.place] !== item) return false
    const last = this.#items.pop()!
    if (last !== item) {
      this.#put(last, item.place)
      this.moved(last)
    }
    return true
  }

  /** To be called after the rank of an item has changed. */
  moved(item: T): void {
    this.#rise(item)
    this.#sink(item)
  }

  #put(item: T, place: number): void {
    this.#items[place] = item
    item.place = place
  }

  #rise(item: T): void {
    let { place } = item
    while (place > 0) {
      const parent = this.#items[(place - 1) >> 1]!
      if (!isBefore(item, parent)) break
      const free = parent.place
      this.#put(parent, place)
      place = free
    }
    this.#put(item, place)
  }

  #sink(item: T): void {
    let { place } = item
    for (;;) {
      const left = this.#items[2 * place + 1]
      const right = this.#items[2 * place + 2]
      const child = left && right && isBefore(right, left) ? right : left
      if (child === undefined || !isBefore(child, item)) break
      const free = child.place
      this.#put(child, place)
      place = free
    }
    this.#put(item, place)
  }
}

const isBefore = (a: Ranked, b: Ranked): boolean => a.key < b.key || (a.key === b.key && a.order < b.order)
