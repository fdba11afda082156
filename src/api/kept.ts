// Answers that cost much are kept for a moment: many look at the same dashboards, and those ask again and again.
import packageFile from '../../package.json' with { type: 'json' }
import type { Json } from '../domain/message.ts'
import type { Cache } from '../ports/cache.ts'
import { START } from '../ports/event-store.ts'
import type { ProjectionName, Queries } from '../queries/queries.ts'
import { awaitPosition } from './freshness.ts'
import type { Freshness } from './parameters.ts'

/** So old an answer may be, unless `minPosition` asks for a later one. */
const KEPT_MS = 1_000
/** For the descriptions of routes. */
export const KEPT_FOR_A_MOMENT = ' The answer may be a second old, unless `minPosition` asks for a later one.'

export type Kept = <T extends object>(
  /** Everything that the answer depends on, as JSON; the program's own version, by which it may look different, is added. */
  question: readonly unknown[],
  freshness: Freshness,
  names: readonly ProjectionName[],
  ask: () => Promise<T>,
) => Promise<T>

/** @returns what waits for `minPosition` and asks, unless an answer is known that is no older than that */
export function createKept({ cache, queries }: { readonly cache: Cache; readonly queries: Queries }): Kept {
  return async (question, freshness, names, ask) => {
    const key = JSON.stringify([packageFile.version, ...question])
    const known = await cache.get(key, freshness.minPosition ?? START)
    if (known !== undefined) return known as never
    await awaitPosition(queries, freshness, names)
    // Before it is asked: the answer may know of more, and never of less.
    const position = await queries.position(names)
    const answer = await ask()
    void cache.put(key, position, answer as Json, KEPT_MS)
    return answer
  }
}
