import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import { scheduledRunIdFor } from '../../src/commands/fingerprint.ts'
import { createHandle } from '../../src/commands/handle.ts'
import { createScheduledRuns } from '../../src/commands/scheduled-runs.ts'
import { type EventStore, StoreUnavailable } from '../../src/ports/event-store.ts'
import { startEngine } from '../support/engine.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { allEvents, holds, scheduling, workHandler } from '../support/scheduling.ts'
import { appending, freshStore } from '../support/stores.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 3_600_000

let store: EventStore
beforeEach(async () => {
  store = await freshStore()
})

/** An engine on the store of the test, at three o'clock unless it says otherwise. */
async function open(options: Parameters<typeof startEngine>[1] & { at?: string; held?: boolean } = {}) {
  const { at = '2026-01-02T03:00:00.000Z', held = false, ...rest } = options
  const work = workHandler(held)
  const clock = rest.clock ?? new ManualClock(at)
  const engine = await startEngine(store, { handlers: [work.handler], schedulers: 1, ...rest, clock })
  onTestFinished(() => engine.kill())
  return { engine, work, clock, ...scheduling(engine, store) }
}

/** Time passes in steps, each of which lets what was due be decided on. */
const afterMs = async (clock: ManualClock, ms: number) => {
  clock.advance(ms)
  await new Promise((resolve) => setImmediate(resolve))
}

describe('at its time', () => {
  it('a run starts that knows what time it is for', async () => {
    const { engine, clock, work, ...it } = await open()
    await it.register({ stages: { work: { uses: 'work', with: { for: '${{ execution.nominalAt }}' } } } })
    await it.define({ input: { service: 'shop' }, labels: { team: 'core' }, priority: 7 })
    clock.advance(15 * MINUTE_MS)
    await it.tells(['fired 03:15', 'completed 03:15'])
    const nominalAt = '2026-01-02T03:15:00.000Z'
    const [started] = await it.starts()
    expect(started?.data).toMatchObject({
      executionId: scheduledRunIdFor('default', 'nightly', nominalAt),
      trigger: { kind: 'schedule', by: 'schedule:nightly', nominalAt },
      labels: { team: 'core', schedule: 'nightly' },
      input: { service: 'shop' },
      priority: 7,
    })
    expect(work.inputs).toEqual([{ for: nominalAt }])
    await engine.stop()
    await holds(store)
  })

  it('a run that cannot start is told of, and the next is tried', async () => {
    const { engine, clock, ...it } = await open()
    await it.register()
    await it.define()
    await it.retire()
    clock.advance(15 * MINUTE_MS)
    await it.tells(['refused 03:15 WORKFLOW_RETIRED'].toSpliced(0, 0, 'fired 03:15'))
    await it.register({ labels: { again: 'yes' } })
    clock.advance(15 * MINUTE_MS)
    await it.tells(['fired 03:15', 'refused 03:15 WORKFLOW_RETIRED', 'fired 03:30', 'completed 03:30'])
    await engine.stop()
    await holds(store)
  })

  it('many schedules at one time all fire', async () => {
    const { engine, clock, ...it } = await open()
    await it.register()
    const names = Array.from({ length: 600 }, (_, n) => `s${n}`)
    await Promise.all(names.map((name) => it.define({}, name)))
    clock.advance(15 * MINUTE_MS)
    // No more than so many are carried out at once; the rest is due still.
    await vi.waitFor(
      async () => {
        await afterMs(clock, 1)
        expect(await it.starts()).toHaveLength(600)
      },
      { timeout: 20_000 },
    )
    await engine.stop()
    await holds(store)
  })
})

describe('a run that has not ended', () => {
  it('queue: the next one starts after it', async () => {
    const { engine, clock, work, ...it } = await open({ held: true })
    await it.register()
    await it.define({ overlap: 'queue' })
    clock.advance(15 * MINUTE_MS)
    await it.tells(['fired 03:15'])
    clock.advance(15 * MINUTE_MS)
    await it.tells(['fired 03:15', 'queued 03:30'])
    await work.finish()
    await it.tells(['fired 03:15', 'queued 03:30', 'completed 03:15', 'fired 03:30'])
    await work.finish()
    await it.until(async () => expect((await it.told()).at(-1)).toBe('completed 03:30'))
    expect(work.most()).toBe(1)
    await engine.stop()
    await holds(store)
  })

  it('cancel-running: it is cancelled, and then the next one starts', async () => {
    const { engine, clock, work, ...it } = await open({ held: true })
    await it.register()
    await it.define({ overlap: 'cancel-running' })
    clock.advance(15 * MINUTE_MS)
    await it.tells(['fired 03:15'])
    await vi.waitFor(() => expect(work.most()).toBe(1))
    clock.advance(15 * MINUTE_MS)
    await it.tells(['fired 03:15', 'queued 03:30, cancels'])
    // The worker learns of it by its next heartbeat.
    await it.until(async () => {
      clock.advance(500)
      expect(await it.told()).toEqual(['fired 03:15', 'queued 03:30, cancels', 'cancelled 03:15', 'fired 03:30'])
    })
    await work.finish()
    await it.until(async () => expect((await it.told()).at(-1)).toBe('completed 03:30'))
    expect(work.most()).toBe(1)
    await engine.stop()
    await holds(store)
  })
})

describe('after times that nobody was there for', () => {
  it.each([
    [{ misfire: 'none' }, ['passed 03:15-04:45 7 missed']],
    [{ misfire: 'once' }, ['passed 03:15-04:30 6 missed', 'fired 04:45', 'completed 04:45']],
    [
      { misfire: 'all', overlap: 'allow', catchUp: { max: 2, within: '1d' } },
      ['passed 03:15-04:15 5 missed', 'fired 04:30', 'fired 04:45', 'completed', 'completed'],
    ],
    [{ misfire: 'once', catchUp: { within: '10m' } }, ['passed 03:15-04:45 7 missed']],
  ])('%j', async (policy, lines) => {
    const before = await open()
    await before.register()
    await before.define(policy)
    await before.engine.kill()
    const { engine, clock, told } = await open({ at: '2026-01-02T04:58:00.000Z' })
    // Two that run at once end in either order.
    const loosely = async () =>
      (await told()).map((line) => line.replace(/^completed .*/, lines.length > 3 ? 'completed' : '$&'))
    await vi.waitFor(
      async () => {
        await afterMs(clock, 0)
        expect(await loosely()).toEqual(lines)
      },
      { timeout: 10_000 },
    )
    await engine.stop()
    await holds(store)
  })
})

describe('a crash', () => {
  it('between the decision and the start of the run: it starts', async () => {
    const before = await open({ schedulers: 0 })
    await before.register()
    await before.define()
    await before.engine.kill()
    const clock = new ManualClock('2026-01-02T03:15:00.000Z')
    const [cause] = await causeOf(store)
    const commands = createScheduledRuns({ handle: createHandle(store), clock })
    await commands.fireDue({ namespace: 'default', name: 'nightly', causationId: cause! })
    const { engine, tells } = await open({ clock })
    await tells(['fired 03:15', 'completed 03:15'])
    await engine.stop()
    await holds(store)
  })

  it('between the end of the run and its record: it is recorded', async () => {
    const before = await open({ held: true })
    await before.register()
    await before.define()
    before.clock.advance(15 * MINUTE_MS)
    await before.tells(['fired 03:15'])
    await vi.waitFor(() => expect(before.work.most()).toBe(1))
    await before.engine.kill()
    const between = await open({ schedulers: 0, at: '2026-01-02T03:20:00.000Z' })
    await vi.waitFor(() => expect(between.work.inputs.length).toBeGreaterThan(0))
    await vi.waitFor(async () => {
      const [started] = await between.starts()
      expect((await between.engine.history(started!.data.executionId)).at(-1)?.type).toBe('ExecutionCompleted')
    })
    await between.engine.kill()
    const { engine, tells } = await open({ at: '2026-01-02T03:21:00.000Z' })
    await tells(['fired 03:15', 'completed 03:15'])
    await engine.stop()
    await holds(store)
  })

  it('and a snapshot between the decision and the start of the run: it starts', async () => {
    const work = workHandler()
    const down = appending(store, (stream, ...rest) => {
      if (stream.startsWith('execution-')) throw new StoreUnavailable('the disk is full', true)
      return store.append(stream, ...rest)
    })
    const clock = new ManualClock('2026-01-02T03:00:00.000Z')
    const before = await startEngine(down, { schedulers: 1, clock })
    const that = scheduling(before, store)
    await that.register()
    await that.define()
    clock.advance(15 * MINUTE_MS)
    await that.tells(['fired 03:15'])
    await before.stop()
    const { engine, tells } = await open({ clock, handlers: [work.handler] })
    await tells(['fired 03:15', 'completed 03:15'])
    await engine.stop()
    await holds(store)
  })

  it('or a stop, and what is in a snapshot goes on', async () => {
    const before = await open({ held: true, snapshotEvery: 1 })
    await before.register({ schedules: { hourly: { cron: '@hourly' } } })
    await before.define({ overlap: 'queue' })
    before.clock.advance(15 * MINUTE_MS)
    await before.tells(['fired 03:15'])
    await vi.waitFor(async () => expect(await before.starts()).toHaveLength(1))
    before.clock.advance(15 * MINUTE_MS)
    await before.tells(['fired 03:15', 'queued 03:30'])
    const stopped = before.engine.stop()
    await afterMs(before.clock, 1)
    await stopped
    const { engine, clock, ...it } = await open({ at: '2026-01-02T03:40:00.000Z', snapshotEvery: 1 })
    await it.tells(['fired 03:15', 'queued 03:30', 'completed 03:15', 'fired 03:30', 'completed 03:30'])
    clock.advance(20 * MINUTE_MS)
    await it.tells(['fired 04:00', 'completed 04:00'], 'release.hourly')
    await engine.stop()
    await holds(store)
  })
})

it('two schedulers at once start no run twice', async () => {
  const { engine, clock, ...it } = await open({ schedulers: 2 })
  await it.register({ schedules: { hourly: { cron: '@hourly' } } })
  await it.define({ overlap: 'allow' })
  for (let quarter = 1; quarter <= 6; quarter++) {
    clock.advance(15 * MINUTE_MS)
    await it.until(async () => {
      expect((await it.told()).filter((line) => line.startsWith('completed'))).toHaveLength(quarter)
    })
  }
  await it.tells(['fired 04:00', 'completed 04:00'], 'release.hourly')
  expect(await it.starts()).toHaveLength(7)
  await engine.stop()
  await holds(store)
})

describe('a clock that is set', () => {
  it('forward by an hour: what it skipped was missed, and is told of', async () => {
    const { engine, clock, ...it } = await open()
    await it.register()
    await it.define({ misfire: 'none' })
    clock.advance(15 * MINUTE_MS)
    await it.tells(['fired 03:15', 'completed 03:15'])
    clock.jump(HOUR_MS)
    clock.advance(MINUTE_MS)
    await it.tells(['fired 03:15', 'completed 03:15', 'passed 03:30-04:00 3 missed', 'fired 04:15', 'completed 04:15'])
    await engine.stop()
    await holds(store)
  })

  it('back by an hour: nothing runs again, and what comes after does', async () => {
    const { engine, clock, ...it } = await open()
    await it.register()
    await it.define()
    clock.advance(15 * MINUTE_MS)
    await it.tells(['fired 03:15', 'completed 03:15'])
    clock.jump(-HOUR_MS)
    for (let minute = 0; minute < 70; minute++) await afterMs(clock, MINUTE_MS)
    expect(await it.told()).toEqual(['fired 03:15', 'completed 03:15'])
    clock.advance(5 * MINUTE_MS)
    await it.tells(['fired 03:15', 'completed 03:15', 'fired 03:30', 'completed 03:30'])
    await engine.stop()
    await holds(store)
  })
})

describe('a backfill', () => {
  it('runs what it was asked for, no more at once than it may', async () => {
    const { engine, work, ...it } = await open({ held: true, at: '2026-01-02T09:07:00.000Z' })
    await it.register()
    await it.define()
    await it.backfill('2026-01-02T06:00:00.000Z', '2026-01-02T08:00:00.000Z', 3)
    for (let run = 0; run < 8; run++) await work.finish()
    await it.until(async () => expect((await it.told()).at(-1)).toBe('BackfillEnded'))
    expect(work.most()).toBe(3)
    const nominal = (await it.starts()).map(({ data }) => data.trigger.nominalAt?.slice(11, 16))
    expect(nominal.sort()).toEqual(['06:00', '06:15', '06:30', '06:45', '07:00', '07:15', '07:30', '07:45'])
    await engine.stop()
    await holds(store)
  })

  it('does not run again what has run', async () => {
    const { engine, clock, ...it } = await open()
    await it.register()
    await it.define()
    clock.advance(15 * MINUTE_MS)
    await it.tells(['fired 03:15', 'completed 03:15'])
    clock.advance(MINUTE_MS)
    await it.backfill('2026-01-02T03:00:00.000Z', '2026-01-02T03:16:00.000Z', 5)
    await it.until(async () => expect((await it.told()).at(-1)).toBe('BackfillEnded'))
    expect((await it.starts()).map(({ data }) => data.trigger.nominalAt)).toEqual([
      '2026-01-02T03:15:00.000Z',
      '2026-01-02T03:00:00.000Z',
    ])
    await engine.stop()
    await holds(store)
  })
})

describe('the schedules of a workflow', () => {
  const quarters = { cron: '*/15 * * * *' }
  it('are what its newest version says', async () => {
    const { engine, clock, ...it } = await open()
    await it.register({ schedules: { often: quarters, daily: { cron: '@daily' } } })
    // The worker has registered, the workflow is there, and both of its schedules are.
    await vi.waitFor(async () => expect(await store.head()).toBe(3))
    clock.advance(15 * MINUTE_MS)
    await it.tells(['fired 03:15', 'completed 03:15'], 'release.often')
    await it.register({ schedules: { often: { cron: '*/30 * * * *' } } })
    await it.tells(['fired 03:15', 'completed 03:15', 'ScheduleRevised'], 'release.often')
    await it.tells(['ScheduleDeleted'], 'release.daily')
    clock.advance(15 * MINUTE_MS)
    await it.until(async () => expect((await it.told('release.often')).at(-1)).toBe('completed 03:30'))
    expect((await it.starts()).map(({ data }) => [data.version, data.labels.schedule])).toEqual([
      [1, 'release.often'],
      [2, 'release.often'],
    ])
    await it.retire()
    await it.until(async () => expect((await it.told('release.often')).at(-1)).toBe('ScheduleDeleted'))
    await it.register({ schedules: { often: quarters } })
    await it.until(async () => expect((await it.told('release.often')).length).toBeGreaterThan(5))
    await engine.stop()
    await holds(store)
  })

  it('stay as they are when nothing about them changes, also over a restart', async () => {
    const before = await open()
    await before.register({ schedules: { often: quarters, every: { every: '10m' } } })
    const defined = async () => (await allEvents(store)).filter(({ stream }) => stream.startsWith('schedule-')).length
    await vi.waitFor(async () => expect(await defined()).toBe(2))
    await before.register({ description: 'other', schedules: { often: quarters, every: { every: '10m' } } })
    await before.engine.kill()
    const { engine, clock, tells } = await open({ at: '2026-01-02T03:14:00.000Z' })
    clock.advance(MINUTE_MS)
    await tells(['fired 03:15', 'completed 03:15'], 'release.often')
    expect(await before.told('release.every')).toEqual(['fired 03:10', 'completed 03:10'])
    await engine.stop()
  })
})

/** The id of an event that something can be caused by. */
async function causeOf(of: EventStore): Promise<string[]> {
  const ids: string[] = []
  for await (const events of of.readAll()) ids.push(...events.map(({ id }) => id))
  return ids
}
