// A consumer of queues in Kafka: a source for each route that it serves, and one taker that takes from them all by turns.
import { routeOf } from '../../domain/workflow/route.ts'
import { loggedOf } from '../../ports/logger.ts'
import type { Consumer } from '../../ports/work-queue.ts'
import { Source, type SourceOptions } from './kafka-source.ts'
import { servedRoute } from './kafka-topics.ts'
import type { Entry } from './line.ts'
import { type Handler, type Limits, MAX_DELIVERIES, Taker } from './taker.ts'

export type KafkaConsumer = Consumer & {
  /** There may be routes that were not there before. */
  look(): Promise<void>
  /** Gives nobody what waits here under these ids. */
  withdraw(ids: readonly string[]): void
  /** Has the brokers know all that is done by now. */
  flush(): Promise<void>
}

type Deps = Omit<SourceOptions, 'topic' | 'route' | 'arrived'> & {
  /** Makes the topic of a route unless it is there. */
  provide(route: string): Promise<void>
  /** The topics of all routes. */
  topics(): Promise<readonly string[]>
}

const LOOK_EVERY_MS = 5_000
/** A route that cannot say what waits holds up the others for so long. */
const READY_WITHIN_MS = 10_000

export function startConsumer(deps: Deps, queues: readonly string[], limits: Limits, handle: Handler): KafkaConsumer {
  const { logger, settings } = deps
  const sources = new Map<string, Source>()
  const closing = new AbortController()
  const taker = new Taker<Source>(queues, limits, deliver, () => taker.feed())
  const serves = { queues: taker.queues, labels: taker.labels }
  let looking: Promise<void> | undefined

  async function deliver(source: Source, entry: Entry): Promise<void> {
    source.started(entry)
    const deliveries = entry.deliveries + 1
    try {
      await handle(entry.work)
      source.finished(entry)
    } catch (error) {
      // Whoever ends gives back what it could not do; that is no failure of the work.
      if (closing.signal.aborted) source.again(entry, entry.deliveries)
      else if (deliveries < MAX_DELIVERIES) source.again(entry, deliveries)
      else await setAside(source, entry, String((error as Error)?.message ?? error))
    }
  }

  const setAside = (source: Source, entry: Entry, reason: string): Promise<void> =>
    source
      .setAside(entry, reason)
      .catch((err) =>
        logger.warn({ ...loggedOf(entry.work), err }, 'a dead letter could not be kept, the work comes again'),
      )

  async function look(): Promise<void> {
    try {
      const provided = await Promise.allSettled(taker.queues.map((queue) => deps.provide(routeOf(queue))))
      const topics = await deps.topics()
      if (closing.signal.aborted) return
      // A topic that cannot be made holds up none that is there.
      await open(topics.filter((topic) => !sources.has(topic)))
      for (const one of provided) if (one.status === 'rejected') throw one.reason
    } catch (err) {
      logger.warn({ err }, 'the topics of Kafka cannot all be found or made now, will be tried again')
    }
  }

  /** What begins together is taken from together, so that one route has no start over another. */
  async function open(topics: readonly string[]): Promise<void> {
    const opened: Source[] = []
    for (const topic of topics) {
      const route = servedRoute(settings.prefix, topic, serves)
      if (route === undefined) continue
      const source = new Source({ ...deps, topic, route, arrived: () => taker.feed() })
      sources.set(topic, source)
      opened.push(source)
    }
    const { promise: late, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, READY_WITHIN_MS)
    await Promise.race([Promise.all(opened.map(({ ready }) => ready)), late])
    clearTimeout(timer)
    for (const source of opened) taker.attach(source)
    taker.feed()
  }

  /** One look at a time; who asks while one is under way gets the next. */
  const lookNext = async (): Promise<void> => {
    while (looking !== undefined) await looking
    looking = look().finally(() => {
      looking = undefined
    })
    await looking
  }

  const timer = setInterval(() => {
    if (looking === undefined) void lookNext()
  }, LOOK_EVERY_MS)
  void lookNext()

  return {
    look: lookNext,
    withdraw(ids) {
      for (const source of sources.values()) for (const id of ids) source.withdraw(id)
    },
    async flush() {
      await Promise.all([...sources.values()].map((source) => source.commit()))
    },
    async close() {
      closing.abort()
      clearInterval(timer)
      await taker.close()
      for (const source of sources.values()) source.settle()
      await looking
      await Promise.all([...sources.values()].map((source) => source.close()))
    },
  }
}
