// Who looks which rebuilds are asked for, and has some of them done at once.
import type { Projection } from './projection.ts'
import { type RebuildOptions, runRebuild } from './rebuild.ts'
import { type Rebuild, readRebuilds } from './rebuild-record.ts'
import { pause } from './retrying.ts'

/** More would only share the same processors and the same disk. */
const AT_ONCE = 2
const LOOK_EVERY_MS = 250

/** Runs until `signal` aborts and what is under way has stopped; nothing of it is lost. */
export async function runRebuilds(options: RebuildOptions, projections: readonly Projection[]): Promise<void> {
  const { signal, pool } = options
  const lanes = new Map<string, Promise<void>>()
  while (!signal.aborted) {
    // PostgreSQL may be away; then nothing is asked for.
    const asked = await readRebuilds(pool).catch((): readonly Rebuild[] => [])
    for (const rebuild of asked) {
      const projection = projections.find(({ name }) => name === rebuild.name)
      if (projection === undefined || rebuild.status !== 'running' || lanes.has(rebuild.name)) continue
      if (lanes.size >= AT_ONCE) break
      const lane = runRebuild(options, projection, rebuild).then(() => void lanes.delete(rebuild.name))
      lanes.set(rebuild.name, lane)
    }
    await pause(LOOK_EVERY_MS, signal)
  }
  await Promise.all(lanes.values())
}
