import { MikroORM } from '@mikro-orm/postgresql'
import type { Pool } from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { CompiledWorkflow } from '../../src/domain/workflow/definition.ts'
import type { WorkflowEvent } from '../../src/domain/workflow/events.ts'
import { entities } from '../../src/projections/entities.ts'
import { startProjector } from '../../src/projections/start.ts'
import { adviseOn } from '../../src/queries/advice/advice.ts'
import { findAdvice } from '../../src/queries/advice/find-advice.ts'
import type { RecordedRun } from '../../src/queries/advice/recorded-run.ts'
import { createReached } from '../../src/queries/reached.ts'
import { stage, workflow } from '../support/executions.ts'
import { silent, startTestPostgres, type TestPostgres } from '../support/postgres.ts'
import { recordedLog } from '../support/recorded-log.ts'
import { eventsOf, type RunPlan, recordedRuns } from '../support/recorded-runs.ts'

let postgres: TestPostgres
let pool: Pool
let orm: MikroORM
beforeAll(async () => {
  postgres = await startTestPostgres()
  const { url, pool: created } = await postgres.createReadModels()
  pool = created
  orm = new MikroORM({ clientUrl: url, entities })
  await project()
})
afterAll(async () => {
  await orm.close()
  await postgres.stop()
})

const definition = workflow([
  stage('build', { timeoutMs: 10_000 }),
  stage('lint', { needs: ['build'] }),
  stage('ship', { needs: ['build', 'lint'], queue: 'heavy' }),
])
/** Every tenth run fails, every fourth fails and is retried, every fifth skips a stage, and some wait for a worker. */
const planOf = (at: number): RunPlan => ({
  build: at % 4 === 0 ? [{ workMs: 700, fails: 'network' }, { workMs: 900 + at }] : [{ workMs: 900 + at }],
  lint: at % 5 === 0 ? 'skipped' : [{ workMs: 2_000 }],
  ship: [{ workMs: 500, waitMs: at % 3 ? 4_000 : 0, ...(at % 10 === 9 ? { fails: 'unknown' as const } : {}) }],
})
const runs = recordedRuns(definition, 40, planOf)
const older = recordedRuns(definition, 60).slice(45)

const registered = (version: number, of: CompiledWorkflow = definition): WorkflowEvent => ({
  type: version === 1 ? 'WorkflowRegistered' : 'WorkflowRevised',
  data: { name: 'release', version, source: {}, definition: of, fingerprint: `f${version}` },
})

/** Two versions with their runs, one run under way, and runs of another namespace, in the tables. */
async function project(): Promise<void> {
  const log = recordedLog()
  const append = (run: RecordedRun, version: number, options: { namespace?: string; until?: number } = {}) => {
    const { stream, events } = eventsOf(definition, run, version)
    for (const { at, event } of events.slice(0, options.until))
      log.record(stream, [event], { at, namespace: options.namespace ?? 'default' })
  }
  log.record('workflow-default.release', [registered(1)], { at: '2026-01-02T00:00:00.000Z' })
  for (const run of older) append(run, 1)
  log.record('workflow-default.release', [registered(2)], { at: new Date(runs.at(-1)!.startedMs).toISOString() })
  for (const run of runs) append(run, 2)
  append(runs[0]!, 2, { until: 3 })
  append(runs[0]!, 2, { namespace: 'other' })
  const stop = new AbortController()
  const { stopped } = startProjector({ store: log, pool, logger: silent, signal: stop.signal })
  expect(await createReached(pool)(await log.head(), 30_000)).toBe(true)
  stop.abort()
  await stopped
}

const ask = (over: { version?: number; runs: number }, maxRows?: number, namespace = 'default') =>
  findAdvice(orm.em.fork(), pool, namespace, 'release', over, maxRows)

test('the rows of recorded runs give the advice that the runs themselves give, over the newest version', async () => {
  const advice = await ask({ runs: 200 })
  expect(advice).toEqual(adviseOn(2, definition, runs))
  expect(advice!.findings.map(({ kind }) => kind)).toEqual(expect.arrayContaining(['flaky', 'queue-wait']))
  expect(advice!.criticalPath).toMatchObject({ path: ['build', 'lint', 'ship'], runs: 28, completedRuns: 36 })
})

test('an older version is looked at by itself, and as many runs as were asked for, the newest', async () => {
  expect(await ask({ version: 1, runs: 200 })).toEqual(adviseOn(1, definition, older))
  expect(await ask({ runs: 25 })).toEqual(adviseOn(2, definition, runs.slice(0, 25)))
})

test('what would be too much to read is cut at a whole run, and the answer says so', async () => {
  const rowsOf = (run: RecordedRun) =>
    [...run.stages.values()].reduce((sum, { attempts }) => sum + Math.max(1, attempts.length), 0)
  const inFull = runs.slice(0, 22).reduce((sum, run) => sum + rowsOf(run), 0)
  const cut = await ask({ runs: 200 }, inFull)
  expect(cut).toMatchObject({
    ...adviseOn(2, definition, runs.slice(0, 22)),
    note: expect.stringContaining(`${inFull}`),
  })
  expect(await ask({ runs: 200 }, inFull - 1)).toMatchObject({ runs: 21 })
  expect((await ask({ runs: 200 }, 10))!.note).toContain('Findings take at least')
})

test('what is not there, or in another namespace, is undefined', async () => {
  expect(await ask({ runs: 1, version: 3 })).toBeUndefined()
  expect(await ask({ runs: 1 }, 100, 'other')).toBeUndefined()
  expect(await findAdvice(orm.em.fork(), pool, 'default', `release' OR true --`, { runs: 1 })).toBeUndefined()
})
