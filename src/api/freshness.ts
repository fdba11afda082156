// Read your writes: a query over read models waits until they have what a command wrote.
import type { ProjectionName, Queries } from '../queries/queries.ts'
import type { Freshness } from './parameters.ts'
import { RequestProblem } from './problems.ts'

const DEFAULT_WAIT_MS = 2_000

/**
 * @param names the projections that the query reads: that another one is behind, or has failed, is nothing to it
 * @throws RequestProblem POSITION_NOT_REACHED, with how far the read models are behind, or that there is no such position
 */
export async function awaitPosition(
  queries: Queries,
  { minPosition, wait }: Freshness,
  names?: readonly ProjectionName[],
): Promise<void> {
  if (minPosition === undefined) return
  if (await queries.reached(minPosition, wait ?? DEFAULT_WAIT_MS, names)) return
  const projections = (await queries.projections()).filter(({ name }) => !names || names.some((one) => one === name))
  const lagEvents = Math.max(0, ...projections.map((projection) => projection.lagEvents))
  const lagSeconds = Math.max(0, ...projections.map((projection) => projection.lagSeconds))
  const head = await queries.head()
  const detail =
    minPosition > head
      ? `position ${minPosition} lies ahead of the log, ${head < 0 ? 'which is empty' : `whose head is at position ${head}`}: no command was answered with it yet`
      : `the read models have not reached position ${minPosition} yet; they are ${lagEvents} events behind`
  throw new RequestProblem('POSITION_NOT_REACHED', detail, {
    headers: { 'retry-after': '1' },
    members: { lagEvents, lagSeconds },
  })
}
