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
import { dashboardQuestions } from '../test/support/dashboard-questions.ts'
import { fillReadModels } from '../test/support/fill-read-models.ts'
import { largeScans, watchPlans } from '../test/support/plans.ts'
import { silent } from '../test/support/postgres.ts'

const WARM_UP = 10
/** Milliseconds. */
const ASKED_FOR = 20

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
  const asked = await dashboardQuestions(pool, queries)
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
    const wholeTablesRead = largeScans(await plans.since())
    const missed = at(0.99) > ASKED_FOR || wholeTablesRead.length > 0 ? { missed: true } : {}
    console.log(JSON.stringify({ name, p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1), wholeTablesRead, ...missed }))
  }
  await queries.close()
}
