import type { Work } from '../../domain/execution/work.ts'
import { Heap, type Ranked } from './heap.ts'

/** A point of priority is worth so much waiting. Who waits grows older as fast as who came before, so a rank never changes. */
const AGEING_MS_PER_POINT = 10_000
/** Where there are turns, between namespaces and between routes: how many a point lets work go ahead of its own. */
export const TURNS_PER_POINT = 16

export type Entry = Ranked & { readonly work: Work; deliveries: number }

/** What waits of one namespace; `turn` counts what it has had, and moves on for who was not there. */
type Flow = Ranked & { readonly waiting: Heap<Entry>; turn: number }

/**
 * Work that waits for the same workers. Within a namespace what is oldest goes first, priority counted as age. Namespaces take
 * turns, so that one that brings much does not hold up the others: priority lets one go ahead by so many turns, no more.
 */
export class Line {
  readonly #flows = new Map<string, Flow>()
  readonly #waiting = new Heap<Flow>()
  #order = 0
  #turn = 0
  size = 0

  push(work: Work, deliveries = 0): Entry {
    const key = Date.parse(work.scheduledAt) - work.priority * AGEING_MS_PER_POINT
    const flow = this.#flowOf(work.namespace)
    const isBack = flow.waiting.size === 0
    if (isBack) flow.turn = Math.max(flow.turn, this.#turnToJoin())
    const entry = { work, deliveries, key, order: ++this.#order, place: 0 }
    flow.waiting.push(entry)
    this.#rank(flow)
    if (isBack) this.#waiting.push(flow)
    else this.#waiting.moved(flow)
    this.size++
    return entry
  }

  /** What is taken next. */
  get next(): Entry | undefined {
    return this.#waiting.first?.waiting.first
  }

  take(): Entry | undefined {
    const flow = this.#waiting.first
    const entry = flow?.waiting.first
    if (flow === undefined || entry === undefined) return undefined
    this.#turn = Math.max(this.#turn, ++flow.turn)
    flow.order = ++this.#order
    this.remove(entry)
    return entry
  }

  /** False where the entry does not wait. */
  remove(entry: Entry): boolean {
    const flow = this.#flowOf(entry.work.namespace)
    if (!flow.waiting.remove(entry)) return false
    this.size--
    if (flow.waiting.size === 0) this.#waiting.remove(flow)
    else {
      this.#rank(flow)
      this.#waiting.moved(flow)
    }
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
    const flow = { waiting: new Heap<Entry>(), turn: 0, key: 0, order: 0, place: 0 }
    this.#flows.set(namespace, flow)
    return flow
  }

  /** Who comes back has saved up no turns, and has not lost any to those who went ahead by priority. */
  #turnToJoin(): number {
    const turns = this.#waiting.values().map(({ turn }) => turn)
    return turns.length === 0 ? this.#turn : Math.min(...turns)
  }

  #rank(flow: Flow): void {
    flow.key = flow.turn - flow.waiting.first!.work.priority * TURNS_PER_POINT
  }
}
