// Questions of dashboards find their rows by an index. At a million executions `npm run bench -- --dashboards` asks the same.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createQueries } from '../../src/queries/create-queries.ts'
import { dashboardQuestions, type Questions } from '../support/dashboard-questions.ts'
import { fillReadModels } from '../support/fill-read-models.ts'
import { largeScans, watchPlans } from '../support/plans.ts'
import { startTestPostgres, type TestPostgres } from '../support/postgres.ts'

const EXECUTIONS = 25_000
/** There are none of the first three; of the last there may be none on the day that is drawn. */
const MAYBE_NOTHING = ['pools', 'workers', 'projections', 'executions of a workflow that failed on a day']

let postgres: TestPostgres
beforeAll(async () => {
  postgres = await startTestPostgres()
})
afterAll(() => postgres.stop())

test('no question reads a large table whole, and each has something to answer', {
  timeout: 120_000,
}, async () => {
  const { pool, url } = await postgres.createReadModels()
  await fillReadModels(pool, EXECUTIONS)
  const plans = await watchPlans(pool)
  const asking = async (use: (asked: Questions) => Promise<void>) => {
    const queries = createQueries({ url, pool, head: async () => 0 })
    await use(await dashboardQuestions(pool, queries))
    // A connection tells at its end what it has counted, if not before.
    await queries.close()
    return largeScans(await plans.since())
  }
  const read = await asking(async (asked) => {
    for (const [name, ask] of Object.entries(asked)) {
      const answer = (await ask()) as { items?: readonly unknown[] } | readonly unknown[] | undefined
      expect(answer, name).toBeDefined()
      const items = 'items' in answer! ? answer.items : answer
      if (!MAYBE_NOTHING.includes(name)) expect(items, name).not.toEqual([])
    }
  })
  expect(read).toEqual([])
  // Where an index is missing it shows.
  await pool.query('DROP INDEX executions_by_workflow, executions_by_start')
  expect(await asking(async ({ executions }) => void (await executions!()))).toEqual(['executions'])
})
