// What a batch costs must not rise with what is in the tables.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createPool } from '../../src/adapters/read-models/pool.ts'
import { startProjector } from '../../src/projections/start.ts'
import { createReached } from '../../src/queries/reached.ts'
import { postgresKinds, silent, type TestDatabases } from '../support/postgres.ts'
import { recordedLog } from '../support/recorded-log.ts'
import { begun, completed, completedRun, scheduled, started } from '../support/runs.ts'
import { skipFor } from '../support/skip.ts'

const RUNS = 300
const TABLES = ['executions', 'stages', 'attempts']

describe.each(await postgresKinds())('on $name', ({ reason, start }) => {
  let postgres: TestDatabases
  beforeAll(async () => {
    if (reason === undefined) postgres = await start()
  })
  afterAll(() => postgres?.stop())
  beforeEach((context) => skipFor(reason, context))

  test('a batch looks up the rows that it changes, and reads no table, whatever the planner believes of it', async () => {
    const log = recordedLog()
    const runs = Array.from({ length: RUNS }, () => completedRun())
    for (const { stream, id } of runs) log.record(stream, [started(id), scheduled('build')])
    for (const { stream } of runs) log.record(stream, [begun('build')])
    for (const { stream } of runs) log.record(stream, [completed('build')])
    const { url, pool: several } = await postgres.createReadModels()
    // As for the first minute of a new installation: plans are made, and kept, with tables that were empty.
    for (const table of TABLES) await several.query(`ALTER TABLE ${table} SET (autovacuum_enabled = false)`)
    // One connection, which can be asked for all that it has counted.
    const pool = createPool(url, { max: 1 })
    const stop = new AbortController()
    const { stopped } = startProjector({ store: log, pool, logger: silent, signal: stop.signal, batchSize: 4 })
    try {
      expect(await createReached(several)(await log.head(), 60_000)).toBe(true)
    } finally {
      stop.abort()
      await stopped
    }
    await pool.query('SELECT pg_stat_force_next_flush()')
    const { rows } = await pool.query(
      'SELECT relname, seq_tup_read, n_tup_upd FROM pg_stat_user_tables WHERE relname = ANY($1)',
      [TABLES],
    )
    await pool.end()
    expect(rows.map(({ relname }) => relname).sort()).toEqual(TABLES.toSorted())
    for (const { seq_tup_read, n_tup_upd } of rows) {
      expect(Number(n_tup_upd)).toBeGreaterThanOrEqual(RUNS)
      expect(Number(seq_tup_read)).toBeLessThan(RUNS)
    }
  })
})
