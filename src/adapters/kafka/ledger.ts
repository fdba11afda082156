// What a consumer knows of one partition: which of the offsets that it was given are not done. Pure.

/** From `from` up to but without `to`. */
type Range = readonly [from: number, to: number]
type Open = { runs: boolean; deliveries: number }

/** What is said beside a committed offset: what behind it is done, runs, or has failed, and how often. */
export type Notes = {
  readonly done: readonly Range[]
  readonly running: readonly number[]
  readonly failed: readonly (readonly [offset: number, deliveries: number])[]
}
export const NO_NOTES: Notes = { done: [], running: [], failed: [] }

/**
 * Work is done in any order, and only an offset can be committed behind which nothing is: the lowest that is not done. What is
 * done beyond it stands in the notes, so that whoever gets the partition next does not do it again.
 */
export class Ledger {
  /** In the order of their offsets, since a Map keeps that in which they came. */
  readonly #open = new Map<number, Open>()
  /** Done as others say, and not come yet. */
  #known: Range[]
  /** Done by us, and not come again yet after a rebalance. */
  readonly #early = new Set<number>()
  readonly #failed: Map<number, number>
  #next: number
  /** Whether there is something to say that was not committed. */
  dirty = false

  constructor(from: number, { done, failed }: Notes = NO_NOTES) {
    this.#next = from
    this.#known = done.filter(([, to]) => to > from)
    this.#failed = new Map(failed)
  }

  /** The next offset that it waits for. */
  get next(): number {
    return this.#next
  }

  /** What may be committed: everything before it is done. */
  get position(): number {
    return this.#open.keys().next().value ?? this.#next
  }

  /** Takes note of what was fetched; false where it has come before or is done. Offsets that are left out hold nothing. */
  arrived(offset: number): boolean {
    if (offset < this.#next) return false
    this.#next = offset + 1
    while (this.#known[0] !== undefined && this.#known[0][1] <= offset) this.#known.shift()
    const first = this.#known[0]
    if (this.#early.delete(offset) || (first !== undefined && first[0] <= offset)) {
      this.dirty = true
      return false
    }
    this.#open.set(offset, { runs: false, deliveries: this.#failed.get(offset) ?? 0 })
    this.#failed.delete(offset)
    return true
  }

  deliveries(offset: number): number {
    return this.#open.get(offset)?.deliveries ?? 0
  }

  runs(offset: number): void {
    const open = this.#open.get(offset)
    if (open) open.runs = true
    this.dirty = true
  }

  /** False where it is not ours to try again. */
  failed(offset: number, deliveries: number): boolean {
    const open = this.#open.get(offset)
    if (open === undefined) return false
    open.runs = false
    open.deliveries = deliveries
    this.dirty = true
    return true
  }

  done(offset: number): void {
    if (!this.#open.delete(offset) && offset >= this.#next) this.#early.add(offset)
    this.dirty = true
  }

  get notes(): Notes {
    const running: number[] = []
    const failed: [number, number][] = [...this.#failed]
    const done: Range[] = []
    let from = this.position
    for (const [offset, { runs, deliveries }] of this.#open) {
      if (runs) running.push(offset)
      if (deliveries > 0) failed.push([offset, deliveries])
      if (offset > from) done.push([from, offset])
      from = offset + 1
    }
    if (this.#next > from && this.#open.size > 0) done.push([from, this.#next])
    const early = [...this.#early].sort((a, b) => a - b).map((offset): Range => [offset, offset + 1])
    const known = this.#known.filter(([, to]) => to > this.#next)
    const later = [...known.map(([from, to]): Range => [Math.max(from, this.#next), to]), ...early]
    later.sort(([a], [b]) => a - b)
    return { done: [...done, ...later], running, failed }
  }
}

const SEPARATOR = ';'
/** Brokers take 4,096 bytes. */
const MAX_LENGTH = 4_000
const MAX_RUNNING = 1_500

/** Offsets relative to what is committed, in base 36. What there is no room for is left out: it will be done again, which is safe. */
export function encodeNotes(position: number, { done, running, failed }: Notes): string {
  const short = (offset: number): string => (offset - position).toString(36)
  const head = [
    '1',
    joined(
      failed.map(([offset, times]) => `${short(offset)}.${times}`),
      MAX_RUNNING,
    ),
  ]
  head.push(joined(running.map(short), MAX_RUNNING))
  const room = MAX_LENGTH - head.join(SEPARATOR).length - 1
  head.push(
    joined(
      done.map(([from, to]) => `${short(from)}.${(to - from).toString(36)}`),
      room,
    ),
  )
  return head.join(SEPARATOR)
}

function joined(parts: readonly string[], room: number): string {
  const text = parts.join()
  return text.length <= room ? text : text.slice(0, text.lastIndexOf(',', room)).slice(0, room)
}

/** What cannot be read says nothing: then what is behind the offset is done again. */
export function decodeNotes(position: number, text: string | null | undefined): Notes {
  const [, failed = '', running = '', done = ''] = /^1;([0-9a-z.,]*);([0-9a-z,]*);([0-9a-z.,]*)$/.exec(text ?? '') ?? []
  const long = (digits: string): number => position + Number.parseInt(digits, 36)
  const pairs = (list: string) =>
    list
      .split(',')
      .filter(Boolean)
      .map((pair) => pair.split('.') as [string, string])
  return {
    failed: pairs(failed).map(([offset, times]) => [long(offset), Number(times)]),
    running: running.split(',').filter(Boolean).map(long),
    done: pairs(done).map(([from, length]): Range => [long(from), long(from) + Number.parseInt(length, 36)]),
  }
}

/** The notes of another together with what we know ourselves: what anybody has done is done. */
export function withOwn(notes: Notes, own: Ledger | undefined, committed: number): Notes {
  if (own === undefined) return notes
  const mine = own.notes
  const start = own.position
  const done = [...notes.done, ...mine.done, ...(start > committed ? [[committed, start] as const] : [])]
  return { done: merged(done), running: [], failed: [...notes.failed, ...mine.failed] }
}

function merged(ranges: readonly Range[]): readonly Range[] {
  const all: [number, number][] = []
  for (const [from, to] of [...ranges].sort(([a], [b]) => a - b)) {
    const last = all.at(-1)
    if (last && from <= last[1]) last[1] = Math.max(last[1], to)
    else all.push([from, to])
  }
  return all
}
