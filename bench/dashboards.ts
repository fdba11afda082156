// What dashboards ask, at a million executions: how long each question takes, and that none of its plans reads a whole large table.
// The rows are made by PostgreSQL itself, over ninety days, for twenty workflows; each question is asked with what differs drawn anew.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { Pool } from 'pg'
import { startEmbeddedPostgres } from '../src/adapters/read-models/embedded-postgres.ts'
import { migrate } from '../src/adapters/read-models/migrate.ts'
import { createPool } from '../src/adapters/read-models/pool.ts'
import { createQueries } from '../src/queries/create-queries.ts'
import { fillReadModels, WORKFLOWS } from '../test/support/fill-read-models.ts'
import { largeScans, watchPlans } from '../test/support/plans.ts'
import { silent } from '../test/support/postgres.ts'

const WARM_UP = 10
const NAMESPACE = 'default'
const DAY_MS = 86_400_000

const { values } = parseArgs({
  options: { executions: { type: 'string', default: '1000000' }, times: { type: 'string', default: '200' } },
})

const data = await mkdtemp(join(tmpdir(), 'millrace-bench-dashboards-'))
const postgres = await startEmbeddedPostgres(data, silent)
try {
  await migrate(postgres.url)
  const pool = createPool(postgres.url, { statementMs: 600_000 })
  const filled = performance.now()
  await fillReadModels(pool, Number(values.executions))
  console.log(
    JSON.stringify({
      name: 'filled',
      seconds: Math.round((performance.now() - filled) / 1_000),
      executions: Number(values.executions),
    }),
  )
  await measure(pool)
  await pool.end()
} finally {
  await postgres.stop()
  await rm(data, { recursive: true })
}

async function measure(pool: Pool): Promise<void> {
  const queries = createQueries({ url: postgres.url, pool, head: async () => 0 })
  const some = await pool.query('SELECT id FROM executions TABLESAMPLE SYSTEM (0.05) LIMIT 500')
  const ids = some.rows.map(({ id }) => id as string)
  const pick = <T>(of: readonly T[]): T => of[Math.floor(Math.random() * of.length)]!
  const workflow = () => pick(WORKFLOWS)
  const ago = (days: number) => new Date(Date.now() - days * DAY_MS).toISOString()
  const someDay = () => {
    const day = Math.floor(Math.random() * 80)
    return { from: ago(day + 1), to: ago(day) }
  }
  const month = { from: day(30), to: day(-1), grain: 'day' } as const
  const page = { limit: 50 }
  const deep = (await queries.executions(NAMESPACE, { to: ago(45) }, page)).nextCursor!
  const asked: Readonly<Record<string, () => Promise<unknown>>> = {
    executions: () => queries.executions(NAMESPACE, {}, page),
    'executions, deep page': () => queries.executions(NAMESPACE, {}, { ...page, cursor: deep }),
    'executions of a workflow': () => queries.executions(NAMESPACE, { workflow: workflow() }, page),
    'executions that failed': () => queries.executions(NAMESPACE, { status: 'failed' }, page),
    'executions that run': () => queries.executions(NAMESPACE, { status: 'running' }, page),
    'executions with a label': () =>
      queries.executions(NAMESPACE, { label: `team=team-${Math.floor(Math.random() * 20)}` }, page),
    'executions of a day': () => queries.executions(NAMESPACE, someDay(), page),
    'executions of a workflow that failed on a day': () =>
      queries.executions(NAMESPACE, { workflow: workflow(), status: 'failed', ...someDay() }, page),
    'one execution': () => queries.execution(NAMESPACE, pick(ids)),
    workflows: () => queries.workflows(NAMESPACE, page),
    'failures of a day': () => queries.failures(NAMESPACE, { groupBy: ['class'], ...someDay(), limit: 50 }),
    'failures of a month': () =>
      queries.failures(NAMESPACE, { groupBy: ['workflow', 'stage'], from: ago(30), to: ago(0), limit: 50 }),
    'analytics by workflow, a month': () => queries.analytics.by(NAMESPACE, { by: 'workflow', limit: 50, ...month }),
    'analytics by label, a month': () => queries.analytics.by(NAMESPACE, { by: 'label', limit: 50, ...month }),
    'analytics by stage, a month': () =>
      queries.analytics.by(NAMESPACE, { by: 'stage', workflow: workflow(), limit: 50, ...month }),
    'series of days, a quarter': () =>
      queries.analytics.series(NAMESPACE, {
        of: 'workflow',
        key: workflow(),
        from: day(90),
        to: day(-1),
        grain: 'day',
        step: 'day',
      }),
    'series of hours, four days': () =>
      queries.analytics.series(NAMESPACE, {
        of: 'namespace',
        key: '',
        from: ago(4),
        to: ago(0),
        grain: 'hour',
        step: 'hour',
      }),
    audit: () => queries.audit.list(NAMESPACE, {}, page),
    'audit of a person': () => queries.audit.list(NAMESPACE, { actor: 'user:ada' }, page),
    'audit, refused': () => queries.audit.list(NAMESPACE, { outcome: 'refused' }, page),
    pools: () => queries.pools(NAMESPACE, page),
    workers: () => queries.workers(NAMESPACE, {}, page),
    projections: () => queries.projections(),
  }
  const plans = await watchPlans(pool)
  for (const [name, ask] of Object.entries(asked)) {
    for (let times = 0; times < WARM_UP; times++) await ask()
    const took: number[] = []
    for (let times = 0; times < Number(values.times); times++) {
      const begun = performance.now()
      await ask()
      took.push(performance.now() - begun)
    }
    took.sort((a, b) => a - b)
    const at = (share: number) => Math.round((took[Math.ceil(took.length * share) - 1] ?? 0) * 10) / 10
    console.log(
      JSON.stringify({
        name,
        p50Ms: at(0.5),
        p99Ms: at(0.99),
        maxMs: at(1),
        wholeTablesRead: largeScans(await plans.since()),
      }),
    )
  }
  await queries.close()
}

function day(ago: number): string {
  return new Date(Math.floor((Date.now() - ago * DAY_MS) / DAY_MS) * DAY_MS).toISOString()
}
