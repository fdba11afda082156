// How one consumer takes work from the routes that it serves: by turns, and no more at once than it may.
import type { Work } from '../../domain/execution/work.ts'
import { parseRoute, serves } from '../../domain/workflow/route.ts'
import { type Entry, type Line, TURNS_PER_POINT } from './line.ts'

/** After so many deliveries work that is not done goes to the dead letters. */
export const MAX_DELIVERIES = 3

export type Handler = (work: Work) => Promise<void>

/** Work of one queue that asks for the same labels. */
export type Route = { readonly name: string; readonly line: Line; running: number }

export type Limits = {
  readonly concurrency: number
  readonly perQueue?: Readonly<Record<string, number>>
  readonly labels?: readonly string[]
}

/** A queue that a taker serves: those of its routes that the taker has the labels for, each with the turns that it has had. */
type Served<R> = {
  readonly queue: string
  readonly limit: number
  readonly routes: { readonly route: R; turn: number }[]
  running: number
}

export class Taker<R extends Route> {
  readonly queues: readonly string[]
  readonly labels: readonly string[]
  readonly #concurrency: number
  readonly #served: readonly Served<R>[]
  readonly #carryOut: (route: R, entry: Entry) => Promise<void>
  readonly #freed: () => void
  /** Which of its queues comes next. */
  #turn = 0
  #running = 0
  #closed = false
  #idle: (() => void) | undefined

  /**
   * @param carryOut does with an entry what has to be done; it never rejects
   * @param freed is called after that, to have fed whoever may take more now
   */
  constructor(
    names: readonly string[],
    { concurrency, perQueue = {}, labels = [] }: Limits,
    carryOut: (route: R, entry: Entry) => Promise<void>,
    freed: () => void,
  ) {
    this.queues = [...new Set(names)]
    this.labels = labels
    this.#concurrency = concurrency
    this.#served = this.queues.map((queue) => ({ queue, limit: perQueue[queue] ?? Infinity, routes: [], running: 0 }))
    this.#carryOut = carryOut
    this.#freed = freed
  }

  serves(route: string): boolean {
    return serves(route, this)
  }

  /** From now on it takes from this route as well, if it serves it. */
  attach(route: R): void {
    if (!this.serves(route.name)) return
    const { queue } = parseRoute(route.name)
    this.#served.find((served) => served.queue === queue)!.routes.push({ route, turn: 0 })
  }

  /** Takes what it may. */
  feed(): void {
    while (this.#feedOne());
  }

  /** Takes nothing more, and resolves when what it took is done. */
  async close(): Promise<void> {
    this.#closed = true
    if (this.#running > 0) await new Promise<void>((resolve) => (this.#idle = resolve))
  }

  /** Takes nothing more. */
  stop(): void {
    this.#closed = true
  }

  /** Its queues in turn, so that a busy one does not starve the others. */
  #feedOne(): boolean {
    if (this.#closed || this.#running >= this.#concurrency) return false
    for (let tried = 0; tried < this.#served.length; tried++) {
      const served = this.#served[this.#turn]!
      this.#turn = (this.#turn + 1) % this.#served.length
      const route = served.running < served.limit ? nextOf(served.routes) : undefined
      if (route === undefined) continue
      void this.#deliver(served, route, route.line.take()!)
      return true
    }
    return false
  }

  async #deliver(served: Served<R>, route: R, entry: Entry): Promise<void> {
    this.#running++
    for (const one of [served, route]) one.running++
    await this.#carryOut(route, entry)
    this.#running--
    for (const one of [served, route]) one.running--
    if (this.#running === 0) this.#idle?.()
    this.#freed()
  }
}

/** The routes of a queue take turns as namespaces do, or work without labels would hold up what few workers have the labels for. */
function nextOf<R extends Route>(routes: Served<R>['routes']): R | undefined {
  const [only] = routes
  if (routes.length === 1) return only!.route.line.size > 0 ? only!.route : undefined
  const waiting = routes.filter(({ route }) => route.line.size > 0)
  if (waiting.length === 0) return undefined
  const least = Math.min(...waiting.map(({ turn }) => turn))
  // Where nothing waits no turns are saved up.
  for (const one of routes) if (one.route.line.size === 0) one.turn = Math.max(one.turn, least)
  const rank = ({ route, turn }: Served<R>['routes'][number]) => turn - route.line.next!.work.priority * TURNS_PER_POINT
  const next = waiting.reduce((first, one) => (rank(one) < rank(first) ? one : first))
  next.turn++
  return next.route
}
