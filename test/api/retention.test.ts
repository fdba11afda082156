// What goes, and that everything else is as it was: what was replayed, the chain, and what will be built again.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { verdictOn } from '../support/audited.ts'
import { startTestPostgres, type TestPostgres } from '../support/postgres.ts'
import { expectProblem } from '../support/problems.ts'
import { until } from '../support/recorded-log.ts'
import { DAY_MS, kept, MINUTE_MS, RETENTION } from '../support/retaining.ts'

let postgres: TestPostgres
beforeAll(async () => {
  postgres = await startTestPostgres()
})
afterAll(() => postgres.stop())

describe('streams', () => {
  test('go into the archive, and everything that was asked of the runs is answered as before', async (t) => {
    const { run, set, cleanUp, preview, get, verified, rebuilt, store, clock, send, key, exported, caughtUp } =
      await kept(t, postgres)
    const old = [await run(), await run(), await run()]
    clock.leap(10 * DAY_MS)
    const young = await run()
    const open = await run('endless')
    await caughtUp()
    const asked = (id: string) =>
      Promise.all(
        ['history?limit=200', 'state', 'replay', 'graph', 'stages/build/logs'].map((what) =>
          get(`executions/${id}/${what}`),
        ),
      )
    const before = await Promise.all(old.map(asked))
    await set({ streams: [{ olderThan: '7d' }] })
    const [due] = await preview()
    expect(due).toMatchObject({ target: 'streams', count: 3, because: ['runs that ended more than 7d ago'] })
    expect(due!.examples!.sort()).toEqual(old.sort())
    expect(await cleanUp()).toEqual({ removed: { streams: 3 }, done: true })
    expect(await cleanUp()).toEqual({ removed: {}, done: true })
    expect(await Promise.all(old.sort().map(asked))).toEqual(
      await Promise.all(
        old.map((id) => before.find(([history]) => history!.body.items[0].stream === `execution-${id}`)),
      ),
    )
    for (const id of old) {
      expect((await get(`executions/${id}`)).body.archivedIn).toMatch(/^default\.\d+-\d+\.[0-9a-f]{64}\.ndjson\.gz$/)
      let events = 0
      for await (const some of store.readStream(`execution-${id}`)) events += some.length
      expect(events).toBeGreaterThan(3)
    }
    for (const id of [young, open]) expect((await get(`executions/${id}`)).body.archivedIn).toBeUndefined()
    // A run of the archive can be gone on from, and its key starts no second run.
    const again = await send('POST', `executions/${old[0]}/restore`, { revision: 1 })
    expect(again.statusCode, again.body).toBe(202)
    expectProblem(await send('POST', `executions/${old[0]}/cancel`, {}), 409, 'EXECUTION_ALREADY_ENDED')
    await verified()
    await rebuilt()
    expect(await verdictOn(await exported(), (await key()).publicKey)).toMatchObject({ faults: [] })
  })

  test('of runs that are held stay, as do those of another status and the newest of each workflow', async (t) => {
    const { run, send, set, cleanUp, preview, get, clock, caughtUp, ended } = await kept(t, postgres)
    const started = await send('POST', 'executions', {
      workflow: 'chain',
      labels: { 'legal-hold': 'case 7', team: 'a' },
    })
    const held = started.json<{ id: string }>().id
    await ended(held)
    const cancelled = await run('endless')
    await send('POST', `executions/${cancelled}/cancel`, {})
    await ended(cancelled)
    const chains = [await run(), await run(), await run()]
    clock.leap(DAY_MS)
    await caughtUp()
    const archived = async (id: string) => (await get(`executions/${id}`)).body.archivedIn !== undefined
    const counts = async (policy: object) => (await preview({ policy })).map(({ target, count }) => [target, count])
    expect(await counts({ streams: [{ atMost: 2 }] })).toEqual([['streams', 2]])
    expect(await counts({ streams: [{ atMost: 2 }], hold: ['legal-hold'] })).toEqual([['streams', 1]])
    expect(await counts({ streams: [{ atMost: 0 }], hold: ['team=b', 'legal-hold=case 8'] })).toEqual([['streams', 5]])
    expect(await counts({ streams: [{ atMost: 0 }], hold: ['team=a'] })).toEqual([['streams', 4]])
    expect(await counts({ streams: [{ olderThan: '1h', statuses: ['cancelled'] }] })).toEqual([['streams', 1]])
    expect(await counts({ streams: [{ olderThan: '2d' }, { atMost: 0, statuses: ['cancelled', 'failed'] }] })).toEqual([
      ['streams', 1],
    ])
    await set({ hold: ['legal-hold'], streams: [{ olderThan: '1h', statuses: ['completed'] }] })
    expect(await cleanUp()).toEqual({ removed: { streams: 3 }, done: true })
    expect(await Promise.all(chains.map(archived))).toEqual([true, true, true])
    expect(await Promise.all([held, cancelled].map(archived))).toEqual([false, false])
  })

  test('go a few at a time where that is asked for', async (t) => {
    const { run, set, cleanUp, ports, verified, clock } = await kept(t, postgres)
    for (let n = 0; n < 5; n++) await run()
    clock.leap(MINUTE_MS)
    await set({ streams: [{ atMost: 0 }] })
    expect(await cleanUp(2)).toEqual({ removed: { streams: 2 }, done: false })
    expect(await cleanUp(2)).toEqual({ removed: { streams: 2 }, done: false })
    expect(await cleanUp(2)).toEqual({ removed: { streams: 1 }, done: true })
    expect(await ports.archive!.statistics()).toMatchObject({ files: 3 })
    await verified()
  })

  test('are in one place or the other, wherever a clean-up breaks off, and the next one goes on', async (t) => {
    const { run, set, send, cleanUp, store, ports, pool, verified, rebuilt, caughtUp, clock } = await kept(t, postgres)
    const ids: string[] = []
    const breaks: readonly ((fail: () => never) => () => void)[] = [
      (fail) => {
        const { truncate } = store
        let left = 1
        store.truncate = async (...args) => (left-- > 0 ? truncate.apply(store, args) : fail())
        return () => Object.assign(store, { truncate })
      },
      (fail) => {
        const { append } = store
        store.append = async (stream, ...args) =>
          stream.startsWith('archive-') ? fail() : append.call(store, stream, ...args)
        return () => Object.assign(store, { append })
      },
    ]
    await set({ streams: [{ atMost: 0 }], executions: [{ atMost: 0 }] })
    for (const broken of breaks) {
      ids.push(await run(), await run(), await run())
      clock.leap(MINUTE_MS)
      await caughtUp()
      const mend = broken(() => {
        throw new Error('broken off')
      })
      expect((await send('POST', 'retention/clean-up', {})).statusCode).toBe(500)
      mend()
      await verified()
    }
    const { removed } = await cleanUp()
    expect(removed).toEqual({ streams: 6, executions: 6 })
    expect((await pool.query('SELECT FROM executions')).rows).toEqual([])
    for (const id of ids) {
      const revisions: number[] = []
      for await (const events of store.readStream(`execution-${id}`))
        revisions.push(...events.map(({ revision }) => revision))
      expect(revisions).toEqual(revisions.map((_, at) => at))
    }
    // What was cut before it was on record was archived once more, with what had come since; then the same gave the same file.
    expect((await ports.archive!.statistics()).files).toBe(2)
    await verified()
    await rebuilt()
  })

  test('of one rule share a file, whatever stands between them', async (t) => {
    const { run, set, send, cleanUp, ports, clock, ended } = await kept(t, postgres)
    for (let n = 0; n < 4; n++) {
      await run()
      const id = await run('endless')
      await send('POST', `executions/${id}/cancel`, {})
      await ended(id)
    }
    clock.leap(2 * DAY_MS)
    await set({ streams: [{ olderThan: '1h', statuses: ['completed'] }, { olderThan: '1d' }] })
    expect(await cleanUp()).toEqual({ removed: { streams: 8 }, done: true })
    expect((await ports.archive!.statistics()).files).toBe(2)
  })

  test('stay where they are from when a hold is set, also in the middle of a clean-up', async (t) => {
    const { run, set, cleanUp, ports, clock, get, caughtUp } = await kept(t, postgres)
    const ids = [await run(), await run()]
    clock.leap(2 * DAY_MS)
    await set({ streams: [{ olderThan: '1d' }], executions: [{ olderThan: '1d' }] })
    const { write } = ports.archive!
    ports.archive!.write = async (...given) => {
      await set({ hold: ['team'], streams: [{ olderThan: '1d' }], executions: [{ olderThan: '1d' }] })
      return write.apply(ports.archive, given)
    }
    expect(await cleanUp()).toEqual({ removed: { streams: 2 }, done: false })
    await caughtUp()
    for (const id of ids) expect((await get(`executions/${id}`)).status).toBe(200)
  })

  test('of one namespace are taken by one clean-up at a time', async (t) => {
    const { run, set, send, cleanUp, clock, caughtUp } = await kept(t, postgres)
    await run()
    clock.leap(2 * DAY_MS)
    await set({ streams: [{ olderThan: '1d' }] })
    await caughtUp()
    const answers = await Promise.all([1, 2, 3].map(() => send('POST', 'retention/clean-up', {})))
    const statuses = answers.map(({ statusCode }) => statusCode)
    expect(statuses.sort()).toEqual([200, 409, 409])
    expect(answers.find(({ statusCode }) => statusCode === 409)!.json()).toMatchObject({ code: 'CLEAN_UP_RUNNING' })
    expect(await cleanUp()).toEqual({ removed: {}, done: true })
  })

  test('stay where they are when the disk does not take the file', async (t) => {
    const { run, set, send, store, ports, cleanUp, caughtUp, clock } = await kept(t, postgres)
    const id = await run()
    await set({ streams: [{ atMost: 0 }] })
    // It has only just ended.
    expect(await cleanUp()).toEqual({ removed: {}, done: true })
    clock.leap(MINUTE_MS)

    await caughtUp()
    const { write } = ports.archive!
    ports.archive!.write = () => Promise.reject(new (class extends Error {})('no space left on device'))
    expect((await send('POST', 'retention/clean-up', {})).statusCode).toBe(500)
    for await (const [first] of store.readStream(`execution-${id}`, { limit: 1 })) expect(first!.revision).toBe(0)
    ports.archive!.write = write
    expect(await cleanUp()).toEqual({ removed: { streams: 1 }, done: true })
  })
})

describe('a stream that was archived', () => {
  test('is put back where it was, and stays as though the run had just ended', async (t) => {
    const { run, set, cleanUp, get, send, clock, store, verified, rebuilt, caughtUp } = await kept(t, postgres)
    const [id, other] = [await run(), await run()]
    clock.leap(2 * DAY_MS)
    await caughtUp()
    const history = await get(`executions/${id}/history`)
    expectProblem(await send('POST', `executions/${id}/unarchive`, {}), 409, 'EXECUTION_NOT_ARCHIVED')
    expectProblem(
      await send('POST', 'executions/0190b6a0-0000-7000-8000-00000000000a/unarchive', {}),
      404,
      'EXECUTION_UNKNOWN',
    )
    await set({ streams: [{ olderThan: '1d' }, { atMost: 0 }] })
    expect(await cleanUp()).toEqual({ removed: { streams: 2 }, done: true })
    const answer = await send('POST', `executions/${id}/unarchive`, {})
    expect(answer.statusCode, answer.body).toBe(202)
    expect((await get(`executions/${id}?minPosition=${answer.json().position}`)).body.archivedIn).toBeUndefined()
    expect((await get(`executions/${other}`)).body.archivedIn).toBeDefined()
    expect(await get(`executions/${id}/history`)).toEqual(history)
    expect(await cleanUp()).toEqual({ removed: {}, done: true })
    await verified()
    await rebuilt()
    clock.leap(2 * DAY_MS)
    expect(await cleanUp()).toEqual({ removed: { streams: 1 }, done: true })
    expect(await get(`executions/${id}/history`)).toEqual(history)
    expect(await store.head()).toBeGreaterThan(0)
    await verified()
  })
})

describe('a policy', () => {
  test('is set, answered as it was written, and on record', async (t) => {
    const { server, set, entries, send } = await kept(t, postgres)
    expect((await server.inject(RETENTION)).json()).toMatchObject({ policy: {}, recommendations: [] })
    const policy = {
      hold: ['legal-hold', 'team=a'],
      streams: [
        { olderThan: '90d', statuses: ['completed'] },
        { olderThan: '36h', atMost: 1000 },
      ],
      audit: { olderThan: '730d' },
    }
    await set(policy)
    expect((await server.inject(RETENTION)).json()).toMatchObject({ policy })
    const [entry] = await entries('&command=SetRetention')
    expect(entry).toMatchObject({ actor: 'user:ada', outcome: 'accepted', events: [{ type: 'RetentionPolicySet' }] })
    for (const [wrong, said] of [
      [{ streams: [{}] }, 'olderThan'],
      [{ streams: [] }, 'at least one rule'],
      [{ streams: [{ olderThan: '1s' }] }, '1m or longer'],
      [{ audit: {} }, 'olderThan'],
      [{ executions: [{ atMost: -1 }] }, 'atMost'],
      [{ hold: ['-'] }, 'label'],
      [{ everything: { olderThan: '1d' } }, 'everything'],
    ] as const) {
      const answer = await send('PUT', 'retention', wrong)
      expectProblem(answer, 400)
      expect(answer.body).toContain(said)
    }
  })

  test('is recommended where much has gathered, with the reason', async (t) => {
    const { server, pool, set } = await kept(t, postgres)
    await pool.query(
      `INSERT INTO analytics SELECT 'default', 'label', 'commit=' || n, 'day', '2026-01-01', 1, 1, 0, 0, 0, 1, 0, 0, 1, 1 FROM generate_series(1, 1200) n`,
    )
    await pool.query(
      `INSERT INTO analytics SELECT 'default', 'workflow', 'w' || n, 'hour', '2026-01-01'::timestamptz + n * interval '1 minute', 1, 1, 0, 0, 0, 1, 0, 0, 1, 1 FROM generate_series(1, 100001) n`,
    )
    await set({ executions: [{ olderThan: '365d' }] })
    const { recommendations } = (await server.inject(RETENTION)).json()
    expect(recommendations).toEqual([
      {
        target: 'analyticsByHour',
        says: expect.stringContaining('olderThan 90d'),
        because: expect.stringMatching(
          /^there are 100,001 rows of analytics by the hour, 1,\d{3} more each day since 2026-01-01/,
        ),
      },
      {
        target: 'streams',
        says: expect.any(String),
        because: expect.stringContaining('only what has a row is archived'),
      },
      {
        target: 'labels',
        says: expect.stringContaining('put commit into the input'),
        because: expect.stringContaining('1,200 values in 1,200 runs'),
      },
    ])
    const storage = (await server.inject('/v1/admin/storage')).json()
    expect(storage.tables.map(({ table }: { table: string }) => table)).toContain('analytics')
    expect(storage.archive).toEqual({ files: 0, bytes: 0 })
  })
})

test('a clean-up comes by itself', async (t) => {
  const { run, set, app, ports, caughtUp, clock } = await kept(t, postgres)
  await run()
  clock.leap(MINUTE_MS)
  await set({ streams: [{ atMost: 0 }] })
  await caughtUp()
  const cleaning = app.retention!.start(20)
  await until('the stream is archived', async () => (await ports.archive!.statistics()).files === 1)
  await cleaning.stop()
})
