import type { Pool } from 'pg'
import type { EventStore } from '../ports/event-store.ts'
import type { Logger } from '../ports/logger.ts'
import { projections as all } from './all.ts'
import type { Projection } from './projection.ts'
import { runProjector } from './projector.ts'

/**
 * Keeps the read models until `signal` aborts; `stopped` resolves then. PostgreSQL may be down at any time, and more
 * than one projector may run. The pool should allow a connection for each projection and one more.
 */
export function startProjector(options: {
  store: Pick<EventStore, 'subscribe'>
  pool: Pool
  logger: Logger
  signal: AbortSignal
  projections?: readonly Projection[]
  /** Most events in one transaction. */
  batchSize?: number
}): { readonly stopped: Promise<void> } {
  const { projections = all, batchSize = 5_000 } = options
  return { stopped: runProjector({ ...options, projections, batchSize }) }
}
