import { events } from './events.ts'
import { executions } from './executions.ts'
import { pools } from './pools.ts'
import type { Projection } from './projection.ts'
import { schedules } from './schedules.ts'
import { workers } from './workers.ts'
import { workflows } from './workflows.ts'

/** Every read model; a query that promises a position waits for all of them. */
export const projections: readonly Projection[] = [workflows, executions, pools, schedules, events, workers]
