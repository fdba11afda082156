import { setTimeout as delay } from 'node:timers/promises'
import { MikroORM } from '@mikro-orm/postgresql'
import type { Pool } from 'pg'
import { entities } from '../projections/entities.ts'
import { findAdvice } from './advice/find-advice.ts'
import { createAnalyticsQueries } from './analytics.ts'
import { listAttempts } from './attempts.ts'
import { createAuditQueries } from './audit.ts'
import { findExecution } from './execution.ts'
import { listExecutions } from './executions.ts'
import { countFailures } from './failures.ts'
import { poolUtilisation } from './pool-utilisation.ts'
import { findPool, listPools } from './pools.ts'
import { listProjections } from './projections.ts'
import type { Queries } from './queries.ts'
import { createReached, positionOf } from './reached.ts'
import { findSchedule, listSchedules, upcomingTimes } from './schedules.ts'
import { listWorkers } from './workers.ts'
import { listWorkflowVersions } from './workflow-versions.ts'
import { findWorkflow, listWorkflows } from './workflows.ts'

const MAX_CONNECTIONS = 6
const STATEMENT_MS = 10_000
const ANSWER_MS = 5_000
const CLOSE_MS = 2_000

/**
 * What the read models answer. `head` is the position of the last event in the log; `pool` stays the caller's.
 * PostgreSQL need not be up yet: a question asked meanwhile rejects.
 */
export function createQueries(options: {
  url: string
  pool: Pool
  head: () => Promise<number>
  /** About how far the positions of two neighbours lie apart. */
  spacing?: number | undefined
}): Queries & { close(): Promise<void> } {
  const { url, pool, head, spacing = 1 } = options
  const orm = new MikroORM({
    clientUrl: url,
    entities,
    pool: { min: 0, max: MAX_CONNECTIONS },
    driverOptions: {
      // MikroORM takes nothing of the URL but host, user and database, so that its sslmode would be lost.
      connectionString: url,
      statement_timeout: STATEMENT_MS,
      query_timeout: STATEMENT_MS + ANSWER_MS,
      connectionTimeoutMillis: 5_000,
      keepAlive: true,
      application_name: 'millrace-queries',
    },
  })
  const reached = createReached(pool)
  return {
    workflow: (namespace, name) => findWorkflow(orm.em.fork(), namespace, name),
    workflows: (namespace, page, sort) => listWorkflows(orm.em.fork(), namespace, page, sort),
    workflowVersions: (namespace, name, page) => listWorkflowVersions(orm.em.fork(), namespace, name, page),
    advice: (namespace, name, over) => findAdvice(orm.em.fork(), pool, namespace, name, over),
    execution: (namespace, id) => findExecution(pool, namespace, id),
    attempts: (id, stage) => listAttempts(pool, id, stage),
    executions: (namespace, filter, page, sort) => listExecutions(orm.em.fork(), namespace, filter, page, sort),
    pool: (namespace, name) => findPool(pool, namespace, name),
    pools: (namespace, page) => listPools(pool, namespace, page),
    poolUtilisation: (namespace, name, question) => poolUtilisation(pool, namespace, name, question),
    schedules: (namespace, filter, page) => listSchedules(pool, namespace, filter, page),
    schedule: (namespace, name) => findSchedule(pool, namespace, name),
    upcomingTimes: (namespace, name, count) => upcomingTimes(pool, namespace, name, count),
    failures: (namespace, question) => countFailures(pool, namespace, question),
    workers: (namespace, filter, page, sort) => listWorkers(orm.em.fork(), pool, namespace, filter, page, sort),
    analytics: createAnalyticsQueries(pool),
    audit: createAuditQueries(pool),
    projections: async () => listProjections(pool, await head(), spacing),
    head,
    position: (names) => positionOf(pool, names),
    reached,
    // It waits for ever for a connection that the server cut while a question was under way.
    close: () => Promise.race([orm.close(), delay(CLOSE_MS, undefined, { ref: false })]),
  }
}
