type Due = { readonly key: string; readonly dueMs: number }

/** Timers by due time, one a key: setting, clearing and taking the next cost O(log n), whatever is cleared or replaced. */
export class TimerHeap<Timer extends Due> {
  readonly #heap: Timer[] = []
  readonly #places = new Map<string, number>()

  get size(): number {
    return this.#heap.length
  }

  get(key: string): Timer | undefined {
    const place = this.#places.get(key)
    return place === undefined ? undefined : this.#heap[place]
  }

  values(): readonly Timer[] {
    return this.#heap
  }

  set(timer: Timer): void {
    const place = this.#places.get(timer.key)
    if (place === undefined) {
      this.#put(timer, this.#heap.length)
      this.#rise(this.#heap.length - 1)
    } else {
      this.#put(timer, place)
      this.#rise(place)
      this.#sink(this.#places.get(timer.key)!)
    }
  }

  clear(key: string): void {
    const place = this.#places.get(key)
    if (place === undefined) return
    this.#places.delete(key)
    const last = this.#heap.pop()!
    if (place === this.#heap.length) return
    this.#put(last, place)
    this.#rise(place)
    this.#sink(this.#places.get(last.key)!)
  }

  /** The timer that is due first. */
  next(): Timer | undefined {
    return this.#heap[0]
  }

  #put(timer: Timer, place: number): void {
    this.#heap[place] = timer
    this.#places.set(timer.key, place)
  }

  #rise(from: number): void {
    let place = from
    while (place > 0) {
      const parent = (place - 1) >> 1
      if (this.#heap[parent]!.dueMs <= this.#heap[place]!.dueMs) return
      this.#swap(place, parent)
      place = parent
    }
  }

  #sink(from: number): void {
    let place = from
    for (;;) {
      const left = 2 * place + 1
      let least = place
      for (const child of [left, left + 1])
        if (child < this.#heap.length && this.#heap[child]!.dueMs < this.#heap[least]!.dueMs) least = child
      if (least === place) return
      this.#swap(place, least)
      place = least
    }
  }

  #swap(a: number, b: number): void {
    const timer = this.#heap[a]!
    this.#put(this.#heap[b]!, a)
    this.#put(timer, b)
  }
}
