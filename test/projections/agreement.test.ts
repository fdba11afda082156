import { afterAll, beforeAll, expect, test } from 'vitest'
import type { DomainEvent } from '../../src/domain/message.ts'
import type { EventStore } from '../../src/ports/event-store.ts'
import { startProjector } from '../../src/projections/start.ts'
import { createQueries } from '../../src/queries/create-queries.ts'
import { createHistory } from '../../src/queries/history.ts'
import { silent, startTestPostgres, type TestPostgres } from '../support/postgres.ts'
import { type RecordedLog, recordedLog } from '../support/recorded-log.ts'
import { everyRun } from '../support/runs.ts'

let postgres: TestPostgres
beforeAll(async () => {
  postgres = await startTestPostgres()
})
afterAll(() => postgres.stop())

const historyOf = (log: RecordedLog) =>
  createHistory({
    async *readStream(stream: string) {
      yield log.events.filter((event) => event.stream === stream)
    },
  } as Partial<EventStore> as EventStore)

/** Of text that PostgreSQL cannot hold the rows have what can be shown. */
const shown = (view: unknown): unknown =>
  JSON.parse(JSON.stringify(view), (key, value) => (key === 'reason' ? value.replaceAll('\0', '\ufffd') : value))

test('after every event of every kind of run, the log and the read models answer the same', async () => {
  const runs = everyRun()
  const longest = Math.max(...runs.map(({ events }) => events.length))
  const log = recordedLog()
  const history = historyOf(log)
  const { url, pool } = await postgres.createReadModels()
  const stop = new AbortController()
  const { stopped } = startProjector({ store: log, pool, logger: silent, signal: stop.signal })
  const queries = createQueries({ url, pool, head: log.head })
  const answers = async (id: string) => [await queries.execution('default', id), await history.stateAt('default', id)]
  try {
    for (let step = 0; step < longest; step++) {
      const under = runs.filter(({ events }) => step < events.length)
      for (const { stream, events } of under) log.record(stream, events.slice(step, step + 1) as DomainEvent[])
      expect(await queries.reached(await log.head(), 20_000)).toBe(true)
      for (const { id, events } of under) {
        const [rows, state] = await answers(id)
        expect(rows, `after ${events[step]!.type}, revision ${step}`).toEqual(shown(state))
        expect(Object.keys(rows!.stages), 'in the same order').toEqual(Object.keys(state!.stages))
      }
    }
    const kinds = new Set(log.events.map(({ type }) => type))
    expect([...kinds].sort(), 'every type of event was seen').toHaveLength(26)
  } finally {
    stop.abort()
    await stopped
    await queries.close()
    await pool.end()
  }
})
