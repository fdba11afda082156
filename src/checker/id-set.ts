/**
 * Which ids there were, by 64 bits of each: 11 to 21 bytes an id, where a set of strings takes about a hundred. Two different
 * ids of n are taken for one with a probability of n² / 2⁶⁵: 3 in ten million for three million ids, 3 in a thousand for three hundred.
 */
export class IdSet {
  /** Pairs of words; a pair of zeros is free. A power of two, at most three quarters full. */
  #slots = new Uint32Array(16)
  size = 0

  /** False where it was there already. */
  add(id: string): boolean {
    fingerprint(id)
    const place = this.#placeOf(low, high)
    if (this.#slots[place] !== 0 || this.#slots[place + 1] !== 0) return false
    this.#slots[place] = low
    this.#slots[place + 1] = high
    this.size++
    if (this.size * 8 > this.#slots.length * 3) this.#grow()
    return true
  }

  has(id: string): boolean {
    fingerprint(id)
    const place = this.#placeOf(low, high)
    return this.#slots[place] !== 0 || this.#slots[place + 1] !== 0
  }

  /** Where the pair is, or the free place where it would go. */
  #placeOf(a: number, b: number): number {
    const slots = this.#slots
    const last = slots.length - 1
    let place = (a << 1) & last
    while ((slots[place] !== 0 || slots[place + 1] !== 0) && (slots[place] !== a || slots[place + 1] !== b))
      place = (place + 2) & last
    return place
  }

  #grow(): void {
    const old = this.#slots
    this.#slots = new Uint32Array(2 * old.length)
    for (let at = 0; at < old.length; at += 2) {
      const [a, b] = [old[at]!, old[at + 1]!]
      if (a === 0 && b === 0) continue
      const place = this.#placeOf(a, b)
      this.#slots[place] = a
      this.#slots[place + 1] = b
    }
  }
}

/** Of the id that was asked for last: two results without an object for each of millions of ids. */
let low = 0
let high = 0

/** Two hashes of 32 bits, each step of which spreads upwards by its product and downwards by its shift. */
function fingerprint(id: string): void {
  let a = 0x9e3779b9
  let b = 0x243f6a88
  for (let at = 0; at < id.length; at++) {
    const code = id.charCodeAt(at)
    a = Math.imul(a ^ code, 0x85ebca6b)
    a ^= a >>> 13
    b = Math.imul(b ^ code, 0xc2b2ae35)
    b ^= b >>> 16
  }
  low = Math.imul(a ^ (b >>> 15), 0x2c1b3c6d) >>> 0
  high = Math.imul(b ^ (a >>> 12), 0x297a2d39) >>> 0 || 1
}
