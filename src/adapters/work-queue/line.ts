import type { Work } from '../../domain/execution/work.ts'
import { KeyedHeap } from '../../domain/keyed-heap.ts'

/** A point of priority is worth so much waiting. Who waits grows older as fast as who came before, so a rank never changes. */
const AGEING_MS_PER_POINT = 10_000
/** Where there are turns, between namespaces and between routes: how many a point lets work go ahead of its own. */
export const TURNS_PER_POINT = 16

/** The least `rank` comes first, and of equal ones the least `order`. */
type Ranked = { readonly key: string; readonly rank: number; readonly order: number }

const isBefore = (a: Ranked, b: Ranked): boolean => a.rank < b.rank || (a.rank === b.rank && a.order < b.order)

export type Entry = Ranked & { readonly work: Work; readonly deliveries: number }

/** What waits of one namespace; `turn` counts what it has had, and moves on for who was not there. */
type Flow = { readonly key: string; readonly waiting: KeyedHeap<Entry>; turn: number; rank: number; order: number }

/**
 * Work that waits for the same workers. Within a namespace what is oldest goes first, priority counted as age. Namespaces take
 * turns, so that one that brings much does not hold up the others: priority lets one go ahead by so many turns, no more.
 */
export class Line {
  readonly #flows = new Map<string, Flow>()
  readonly #waiting = new KeyedHeap<Flow>(isBefore)
  #order = 0
  #turn = 0
  size = 0

  push(work: Work, deliveries = 0): Entry {
    const rank = Date.parse(work.scheduledAt) - work.priority * AGEING_MS_PER_POINT
    const flow = this.#flowOf(work.namespace)
    if (flow.waiting.size === 0) flow.turn = Math.max(flow.turn, this.#turnToJoin())
    const entry = { key: work.id, rank, order: ++this.#order, work, deliveries }
    flow.waiting.set(entry)
    this.#place(flow)
    this.size++
    return entry
  }

  /** What is taken next. */
  get next(): Entry | undefined {
    return this.#waiting.first()?.waiting.first()
  }

  take(): Entry | undefined {
    const flow = this.#waiting.first()
    const entry = flow?.waiting.first()
    if (flow === undefined || entry === undefined) return undefined
    this.#turn = Math.max(this.#turn, ++flow.turn)
    flow.order = ++this.#order
    this.remove(entry)
    return entry
  }

  /** False where the entry does not wait. */
  remove(entry: Entry): boolean {
    const flow = this.#flowOf(entry.work.namespace)
    if (flow.waiting.get(entry.key) !== entry) return false
    flow.waiting.delete(entry.key)
    this.size--
    this.#place(flow)
    return true
  }

  /** Looks at everything: this is for people who ask, not for every take. */
  get oldestAt(): string | undefined {
    let oldest: string | undefined
    for (const { waiting } of this.#waiting.values())
      for (const { work } of waiting.values())
        if (oldest === undefined || work.scheduledAt < oldest) oldest = work.scheduledAt
    return oldest
  }

  #flowOf(namespace: string): Flow {
    const known = this.#flows.get(namespace)
    if (known) return known
    const flow = { key: namespace, waiting: new KeyedHeap<Entry>(isBefore), turn: 0, rank: 0, order: 0 }
    this.#flows.set(namespace, flow)
    return flow
  }

  /** Who comes back has saved up no turns, and has not lost any to those who went ahead by priority. */
  #turnToJoin(): number {
    const turns = this.#waiting.values().map(({ turn }) => turn)
    return turns.length === 0 ? this.#turn : Math.min(...turns)
  }

  /** Its place among those that have something to do, after what waits of it has changed. */
  #place(flow: Flow): void {
    const first = flow.waiting.first()
    if (first === undefined) {
      this.#waiting.delete(flow.key)
      return
    }
    flow.rank = flow.turn - first.work.priority * TURNS_PER_POINT
    this.#waiting.set(flow)
  }
}
