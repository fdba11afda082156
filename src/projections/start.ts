import type { Pool } from 'pg'
import type { EventStore } from '../ports/event-store.ts'
import type { Logger } from '../ports/logger.ts'
import { projections as all } from './all.ts'
import type { Projection } from './projection.ts'
import { runProjector } from './projector.ts'
import { runRebuilds } from './rebuild/lanes.ts'

/**
 * Keeps the read models until `signal` aborts, and builds those again that somebody asks for; `stopped` resolves then. PostgreSQL
 * may be down at any time, and more than one projector may run. The pool should allow a connection for each projection and one more.
 */
export function startProjector(options: {
  store: Pick<EventStore, 'subscribe' | 'readStream' | 'readAll' | 'head' | 'spacing'>
  pool: Pool
  /** For rebuilds, whose statements may take long; else those share the other one. */
  rebuildPool?: Pool
  logger: Logger
  signal: AbortSignal
  projections?: readonly Projection[]
  /** Most events in one transaction. */
  batchSize?: number
  rebuildBatchSize?: number
}): { readonly stopped: Promise<void> } {
  const { projections = all, batchSize = 5_000, rebuildBatchSize = 20_000, rebuildPool = options.pool } = options
  const rebuilding = { ...options, pool: rebuildPool, batchSize: rebuildBatchSize }
  const running = [runProjector({ ...options, projections, batchSize }), runRebuilds(rebuilding, projections)]
  return { stopped: Promise.all(running).then(() => {}) }
}
