/** Items in order, one a key: setting, removing and taking the first cost O(log n), whatever is removed or replaced. */
export class KeyedHeap<T extends { readonly key: string }> {
  readonly #heap: T[] = []
  readonly #places = new Map<string, number>()
  readonly #isBefore: (a: T, b: T) => boolean

  constructor(isBefore: (a: T, b: T) => boolean) {
    this.#isBefore = isBefore
  }

  get size(): number {
    return this.#heap.length
  }

  get(key: string): T | undefined {
    const place = this.#places.get(key)
    return place === undefined ? undefined : this.#heap[place]
  }

  values(): readonly T[] {
    return this.#heap
  }

  first(): T | undefined {
    return this.#heap[0]
  }

  /** Adds the item, or puts it in the place of the one with its key; also where the same item is to stand elsewhere now. */
  set(item: T): void {
    const place = this.#places.get(item.key) ?? this.#heap.length
    this.#put(item, place)
    this.#rise(place)
    this.#sink(this.#places.get(item.key)!)
  }

  delete(key: string): void {
    const place = this.#places.get(key)
    if (place === undefined) return
    this.#places.delete(key)
    const last = this.#heap.pop()!
    if (place === this.#heap.length) return
    this.#put(last, place)
    this.#rise(place)
    this.#sink(this.#places.get(last.key)!)
  }

  #put(item: T, place: number): void {
    this.#heap[place] = item
    this.#places.set(item.key, place)
  }

  #rise(from: number): void {
    for (let place = from; place > 0; ) {
      const parent = (place - 1) >> 1
      if (!this.#isBefore(this.#heap[place]!, this.#heap[parent]!)) return
      this.#swap(place, parent)
      place = parent
    }
  }

  #sink(from: number): void {
    for (let place = from; ; ) {
      const left = 2 * place + 1
      let least = place
      for (const child of [left, left + 1])
        if (child < this.#heap.length && this.#isBefore(this.#heap[child]!, this.#heap[least]!)) least = child
      if (least === place) return
      this.#swap(place, least)
      place = least
    }
  }

  #swap(a: number, b: number): void {
    const item = this.#heap[a]!
    this.#put(this.#heap[b]!, a)
    this.#put(item, b)
  }
}
