import { KeyedHeap } from '../domain/keyed-heap.ts'
import { type Amounts, fits } from '../domain/pool/amounts.ts'

/** Somebody who waits for a part of a pool. `flow` is what pools are fair between: the workflow. */
export type Request = {
  readonly key: string
  readonly flow: string
  readonly amounts: Amounts
  readonly priority: number
  /** When it asked, and where the log says so. */
  readonly atMs: number
  readonly position: number
}

/** A point of priority is worth this much waiting, so that nobody is passed by for ever: 200 points are half an hour. */
const AGEING_MS = 10_000
/** How many lanes whose first request does not fit are looked behind. */
const MOST_LANES = 64
/** After so many have overtaken a request that did not fit, what becomes free is kept for it. */
const MOST_OVERTAKING = 100

/** Requests of one flow that ask for the same: where one of them does not fit, none does. */
type Lane<R> = {
  readonly key: string
  readonly flow: Flow<R>
  readonly requests: KeyedHeap<R & Request>
}

/** When it was last served; what has waited since then counts from there. */
type Flow<R> = { readonly name: string; readonly lanes: Map<string, Lane<R>>; servedMs: number; servedAt: number }

const ageOf = ({ atMs, priority }: Request): number => atMs - priority * AGEING_MS

/**
 * Who comes next in one pool. Of a flow the one that has waited longest, a point of priority counting as ten seconds; of the flows
 * the one that has gone longest without being served, counted in the same way. Both keys stay as they are while time passes,
 * so heaps hold them. What does not fit is overtaken by what does, up to a bound; each choice costs O(log n).
 */
export class WaitingLine<R extends Request = Request> {
  readonly #flows = new Map<string, Flow<R>>()
  readonly #lanes = new KeyedHeap<Lane<R>>((a, b) => this.#isBefore(a, b))
  readonly #places = new Map<string, Lane<R>>()
  /** Who has been overtaken, and how often. */
  readonly #overtaken = new Map<string, number>()

  get size(): number {
    return this.#places.size
  }

  has(key: string): boolean {
    return this.#places.has(key)
  }

  add(request: R): void {
    const flow = this.#flowOf(request.flow)
    const key = `${request.flow}\n${Object.values(request.amounts).join()}`
    const lane: Lane<R> = flow.lanes.get(key) ?? { key, flow, requests: new KeyedHeap<R>(isOlder) }
    flow.lanes.set(key, lane)
    lane.requests.set(request)
    this.#places.set(request.key, lane)
    this.#lanes.set(lane)
  }

  remove(key: string): void {
    const lane = this.#places.get(key)
    if (lane === undefined) return
    this.#places.delete(key)
    this.#overtaken.delete(key)
    lane.requests.delete(key)
    if (lane.requests.size > 0) {
      this.#lanes.set(lane)
      return
    }
    this.#lanes.delete(lane.key)
    lane.flow.lanes.delete(lane.key)
    // Nobody asks again before it was served last, so nothing is lost with the flow.
    if (lane.flow.lanes.size === 0) this.#flows.delete(lane.flow.name)
  }

  /** Takes note that a request of the flow was granted. */
  served(name: string, atMs: number, position: number): void {
    const flow = this.#flows.get(name)
    if (flow === undefined) return
    // All of its lanes move, and a heap bears one that does at a time.
    for (const { key } of flow.lanes.values()) this.#lanes.delete(key)
    flow.servedMs = atMs
    flow.servedAt = position
    for (const lane of flow.lanes.values()) this.#lanes.set(lane)
  }

  /** The request whose turn it is, among those that fit into what is free; undefined where none may go. */
  next(free: Amounts): R | undefined {
    const passed: Lane<R>[] = []
    let found: R | undefined
    for (let lane = this.#lanes.first(); lane && passed.length < MOST_LANES; lane = this.#lanes.first()) {
      const request = lane.requests.first()!
      if (fits(request.amounts, free)) {
        found = request
        break
      }
      // It has been overtaken often enough: the rest waits until there is room for it.
      if ((this.#overtaken.get(request.key) ?? 0) >= MOST_OVERTAKING) break
      passed.push(lane)
      this.#lanes.delete(lane.key)
    }
    for (const lane of passed) this.#lanes.set(lane)
    if (found) for (const lane of passed) this.#passBy(lane.requests.first()!.key)
    return found
  }

  /** Who stands before all others, whether or not it fits. */
  first(): R | undefined {
    return this.#lanes.first()?.requests.first()
  }

  /** Those who ask for more than there will ever be. */
  tooLarge(capacity: Amounts): readonly R[] {
    const lanes = this.#lanes.values().filter((lane) => !fits(lane.requests.first()!.amounts, capacity))
    return lanes.flatMap((lane) => lane.requests.values())
  }

  values(): readonly R[] {
    return this.#lanes.values().flatMap((lane) => lane.requests.values())
  }

  #passBy(key: string): void {
    this.#overtaken.set(key, (this.#overtaken.get(key) ?? 0) + 1)
  }

  #flowOf(name: string): Flow<R> {
    const known = this.#flows.get(name)
    if (known) return known
    const flow: Flow<R> = { name, lanes: new Map(), servedMs: Number.NEGATIVE_INFINITY, servedAt: -1 }
    this.#flows.set(name, flow)
    return flow
  }

  #isBefore(a: Lane<R>, b: Lane<R>): boolean {
    const [first, second] = [a.requests.first()!, b.requests.first()!]
    const [key, other] = [keyOf(a.flow, first), keyOf(b.flow, second)]
    if (key !== other) return key < other
    const [place, otherPlace] = [Math.max(a.flow.servedAt, first.position), Math.max(b.flow.servedAt, second.position)]
    return place !== otherPlace ? place < otherPlace : isOlder(first, second)
  }
}

const keyOf = ({ servedMs }: { readonly servedMs: number }, { atMs, priority }: Request): number =>
  Math.max(servedMs, atMs) - priority * AGEING_MS

function isOlder(a: Request, b: Request): boolean {
  const [age, other] = [ageOf(a), ageOf(b)]
  return age !== other ? age < other : a.position < b.position
}
