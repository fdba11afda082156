import { parseRoute } from '../../domain/workflow/route.ts'
import type { Clock } from '../../ports/clock.ts'
import type { RouteStats } from '../../ports/work-queue.ts'
import type { Administration } from '../kafka/administration.ts'
import type { Reader } from '../kafka/reader.ts'
import { Backlog, partitionStates } from './kafka-backlog.ts'

const MINUTE_MS = 60_000

type Totals = { readonly atMs: number; readonly published: number; readonly taken: number }

/** One route as it was seen, from the first time on. */
type Seen = { readonly base: Omit<Totals, 'atMs'>; totals: Totals[]; readonly backlogs: Map<number, Backlog> }

export type QueueStats = {
  /** Looks at what there is already, so that it does not count. */
  begin(topics: readonly string[]): Promise<void>
  /** @param routes topic → route */
  of(routes: ReadonlyMap<string, string>): Promise<readonly RouteStats[]>
}

/** How things stand in the brokers. What comes and is taken is known from when somebody asks to when somebody asks again. */
export function createStats(
  administration: Administration,
  reader: Reader,
  clock: Pick<Clock, 'monotonicMs'>,
): QueueStats {
  const seen = new Map<string, Seen>()
  const openedMs = clock.monotonicMs()
  const nothing = { published: 0, taken: 0 }

  function seenOf(topic: string): Seen {
    const known = seen.get(topic)
    if (known) return known
    const added = { base: nothing, totals: [{ atMs: openedMs, ...nothing }], backlogs: new Map() }
    seen.set(topic, added)
    return added
  }

  async function statsOf(topic: string, route: string, consumers: number): Promise<RouteStats> {
    const one = seenOf(topic)
    const states = await partitionStates(administration, topic)
    let [depth, running, oldest] = [0, 0, undefined as string | undefined]
    for (const state of states) {
      const backlog = one.backlogs.get(state.partition) ?? new Backlog()
      one.backlogs.set(state.partition, backlog)
      await backlog.update(reader, topic, state)
      const { depth: waits, oldestAt, running: runs } = backlog.waiting
      depth += waits
      running += runs
      if (oldestAt !== undefined && (oldest === undefined || oldestAt < oldest)) oldest = oldestAt
    }
    const published = sum(states.map(({ end }) => end)) - one.base.published
    const taken = sum(states.map((state) => state.taken)) - one.base.taken
    const now = { atMs: clock.monotonicMs(), published, taken }
    const before = minuteBefore(one, now)
    return {
      ...parseRoute(route),
      depth,
      ...(oldest === undefined ? {} : { oldestAt: oldest }),
      running,
      publishedPerMinute: Math.max(0, Math.round(published - before.published)),
      takenPerMinute: Math.max(0, Math.round(taken - before.taken)),
      published,
      taken,
      consumers,
    }
  }

  return {
    async begin(topics) {
      for (const topic of topics) {
        const states = await partitionStates(administration, topic)
        const base = { published: sum(states.map(({ end }) => end)), taken: sum(states.map(({ taken }) => taken)) }
        seen.set(topic, { base, totals: [{ atMs: openedMs, ...nothing }], backlogs: new Map() })
      }
    },
    async of(routes) {
      const topics = [...routes.keys()]
      const { groups } =
        topics.length === 0 ? { groups: [] } : await administration.ask((admin) => admin.describeGroups(topics))
      const members = new Map(groups.map(({ groupId, members }) => [groupId, members.length]))
      const all: RouteStats[] = []
      for (const [topic, route] of [...routes].sort(([, a], [, b]) => (a < b ? -1 : 1)))
        all.push(await statsOf(topic, route, members.get(topic) ?? 0))
      return all
    },
  }
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0)

/** What the totals were a minute ago, between two looks as if things had happened evenly. */
function minuteBefore(one: Seen, now: Totals): Omit<Totals, 'atMs'> {
  one.totals.push(now)
  const cutMs = now.atMs - MINUTE_MS
  while (one.totals.length > 2 && one.totals[1]!.atMs <= cutMs) one.totals.shift()
  const [from, to] = one.totals as [Totals, Totals]
  if (cutMs <= from.atMs) return from
  const share = Math.min(1, (cutMs - from.atMs) / Math.max(1, to.atMs - from.atMs))
  const at = (of: 'published' | 'taken') => from[of] + share * (to[of] - from[of])
  return { published: at('published'), taken: at('taken') }
}
