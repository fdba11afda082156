import { describe, expect, it, vi } from 'vitest'
import { violations } from '../../src/checker/violations.ts'
import { newId } from '../../src/commands/new-id.ts'
import type { RecordedEvent } from '../../src/domain/message.ts'
import { NOTHING } from '../../src/domain/pool/amounts.ts'
import { poolDecider } from '../../src/domain/pool/decide.ts'
import { poolStream } from '../../src/domain/pool/events.ts'
import type { EventStore } from '../../src/ports/event-store.ts'
import { type Engine, ends, handlerOf, reaches, startEngine, told } from '../support/engine.ts'
import { later, stage, workflow } from '../support/executions.ts'
import { freshStore } from '../support/stores.ts'

const amounts = (slots: number) => ({ ...NOTHING, slots })
const asking = (slots = 1) => stage('deploy', { resources: { pool: 'production', amounts: amounts(slots) } })
const deploy = workflow([asking()])

const define = (engine: Engine, slots: number) =>
  engine.handle(
    poolDecider,
    poolStream('default', 'production'),
    { type: 'DefinePool', name: 'production', capacity: amounts(slots) },
    { namespace: 'default', correlationId: newId(), actor: 'user:ada', at: later(0) },
  )
const poolNow = async (engine: Engine) => {
  const { state } = await engine.handle.load(poolDecider, poolStream('default', 'production'))
  if (state.status === 'undefined') throw new Error('no pool')
  return { inUse: state.inUse.slots, holders: state.held.list().map(({ holder }) => holder.executionId) }
}
const holds = (engine: Engine, ...holders: string[]) =>
  vi.waitFor(async () => expect((await poolNow(engine)).holders).toEqual(holders), { timeout: 5_000 })
/** Lets heartbeats pass until the worker has stopped what it was asked to. */
const endsCancelled = (engine: Engine, id: string) =>
  vi.waitFor(
    async () => {
      engine.clock.advance(500)
      expect(told(await engine.history(id)).at(-1)).toBe('ExecutionCancelled')
    },
    { timeout: 5_000 },
  )
const about = async (engine: Engine, id: string) => told(await engine.history(id))

async function everything(store: EventStore): Promise<RecordedEvent[]> {
  const events: RecordedEvent[] = []
  for await (const batch of store.readAll()) events.push(...batch)
  return events
}

/** A handler whose attempts end when the test says so. */
function controlled() {
  const running = new Map<string, () => void>()
  const handler = handlerOf(
    'shell',
    ({ executionId, signal }) =>
      new Promise((resolve, reject) => {
        running.set(executionId, () => resolve(null))
        signal.addEventListener('abort', () => reject(new Error('aborted')))
      }),
  )
  const finish = async (id: string) => {
    await vi.waitFor(() => expect(running.has(id)).toBe(true), { timeout: 5_000 })
    running.get(id)!()
  }
  return { handler, finish }
}

async function startControlled() {
  const store = await freshStore()
  const { handler, finish } = controlled()
  return { store, finish, engine: await startEngine(store, { handlers: [handler] }) }
}

describe('a pool under an engine', () => {
  it('lets as many run as it has room for, and the next when one has ended, whatever the end is', async () => {
    const { store, engine, finish } = await startControlled()
    await define(engine, 1)
    const [first, second, third] = [await engine.begin(deploy), await engine.begin(deploy), await engine.begin(deploy)]
    await holds(engine, first)
    await reaches(engine, second, 'deploy 1 StageDeferred')
    await vi.waitFor(async () => {
      const waiting = (await engine.history(second)).at(-1)!
      expect(waiting.data).toMatchObject({
        reason: 'capacity',
        short: ['slots'],
        blockers: [{ executionId: first, stage: 'deploy' }],
      })
    })
    await finish(first)
    await reaches(engine, second, 'deploy 1 StageStarted')
    await engine.command(second, { type: 'CancelExecution', reason: 'no more', at: later(0) })
    await endsCancelled(engine, second)
    await holds(engine, third)
    await finish(third)
    await ends(engine, third, 'ExecutionCompleted')
    await holds(engine)
    expect(await about(engine, third)).toEqual([
      'ExecutionStarted',
      'deploy 1 StageDeferred',
      'deploy 1 StageDeferred',
      'deploy 1 StageScheduled',
      'deploy 1 StageStarted',
      'deploy 1 StageCompleted',
      'ExecutionCompleted',
    ])
    expect(violations(await everything(store), { healed: true })).toEqual([])
    await engine.stop()
  })

  it('is shared out again after a kill: nothing leaks, nobody is forgotten', async () => {
    const store = await freshStore()
    let engine = await startEngine(store)
    await define(engine, 2)
    const ids: string[] = []
    for (let n = 0; n < 6; n++) ids.push(await engine.begin(deploy))
    for (let round = 0; round < 10; round++) {
      await engine.kill()
      engine = await startEngine(store)
    }
    await holds(engine, ids[0]!, ids[1]!)
    await engine.kill()
    engine = await startEngine(store, { handlers: [handlerOf('shell', async () => null)] })
    for (const id of ids) await ends(engine, id, 'ExecutionCompleted')
    await holds(engine)
    expect(violations(await everything(store), { healed: true })).toEqual([])
    await engine.stop()
  })

  it('goes on from a snapshot as it would have from the beginning', async () => {
    const store = await freshStore()
    let engine = await startEngine(store, { snapshotEvery: 1 })
    await define(engine, 1)
    const [first, second] = [await engine.begin(deploy), await engine.begin(deploy)]
    await holds(engine, first)
    await reaches(engine, first, 'deploy 1 StageScheduled')
    await engine.stop()
    const { handler, finish } = controlled()
    engine = await startEngine(store, { handlers: [handler] })
    await finish(first)
    await holds(engine, second)
    await finish(second)
    await ends(engine, second, 'ExecutionCompleted')
    await engine.stop()
  })

  it('is worked by two engines at once without harm', async () => {
    const store = await freshStore()
    const other = await startEngine(store)
    const engine = await startEngine(store, { handlers: [handlerOf('shell', async () => null)] })
    await define(engine, 2)
    const ids = await Promise.all(Array.from({ length: 20 }, () => engine.begin(deploy)))
    for (const id of ids) await ends(engine, id, 'ExecutionCompleted')
    await holds(engine)
    expect(violations(await everything(store), { healed: true })).toEqual([])
    await engine.stop()
    await other.stop()
  })

  it('gives nothing to a paused run, and its turn again once it goes on', async () => {
    const { engine, finish } = await startControlled()
    await define(engine, 1)
    const [first, second, third] = [await engine.begin(deploy), await engine.begin(deploy), await engine.begin(deploy)]
    await holds(engine, first)
    await engine.command(second, { type: 'PauseExecution', reason: 'wait', at: later(0) })
    await finish(first)
    await holds(engine, third)
    await engine.command(second, { type: 'ResumeExecution', reason: 'on', at: later(0) })
    await finish(third)
    await holds(engine, second)
    await finish(second)
    await ends(engine, second, 'ExecutionCompleted')
    await engine.stop()
  })

  it('that shrinks refuses who asks for more than all of it, and says so', async () => {
    const { engine, finish } = await startControlled()
    await define(engine, 2)
    const first = await engine.begin(workflow([asking(2)]))
    const second = await engine.begin(workflow([asking(2)]))
    await holds(engine, first)
    await define(engine, 1)
    await ends(engine, second, 'ExecutionFailed')
    const failure = (await engine.history(second)).find(({ type }) => type === 'StageFailed')
    expect(failure?.data).toMatchObject({
      attempt: 0,
      error: { code: 'POOL_TOO_SMALL', message: 'it asks for more than all of the pool production: slots' },
    })
    await finish(first)
    await ends(engine, first, 'ExecutionCompleted')
    const never = await engine.begin(workflow([stage('a', { resources: { pool: 'nowhere', amounts: amounts(1) } })]))
    await ends(engine, never, 'ExecutionFailed')
    await engine.stop()
  })
})

describe('a concurrency group under an engine', () => {
  const grouped = (onConflict: 'queue' | 'cancel-running' | 'reject', limit = 1) =>
    workflow([stage('a')], { concurrency: { group: 'web', limit, onConflict } })

  it('queues: one after another, and each says for whom it waits', async () => {
    const { store, engine, finish } = await startControlled()
    const [first, second] = [await engine.begin(grouped('queue')), await engine.begin(grouped('queue'))]
    await reaches(engine, first, 'a 1 StageScheduled')
    await reaches(engine, second, 'ExecutionDeferred')
    expect((await engine.history(second)).at(-1)?.data).toMatchObject({ blockers: [{ executionId: first }] })
    await finish(first)
    await finish(second)
    await ends(engine, second, 'ExecutionCompleted')
    expect(violations(await everything(store), { healed: true })).toEqual([])
    await engine.stop()
  })

  it('cancels what runs, and what waits, for the newest', async () => {
    const { store, engine, finish } = await startControlled()
    const first = await engine.begin(grouped('cancel-running'))
    await reaches(engine, first, 'a 1 StageStarted')
    const second = await engine.begin(grouped('cancel-running'))
    const third = await engine.begin(grouped('cancel-running'))
    await ends(engine, second, 'ExecutionCancelled')
    await reaches(engine, first, 'ExecutionCancellationRequested')
    await endsCancelled(engine, first)
    await finish(third)
    await ends(engine, third, 'ExecutionCompleted')
    expect(violations(await everything(store), { healed: true })).toEqual([])
    await engine.stop()
  })

  it('rejects: of two that start at the same moment one is cancelled', async () => {
    const { engine, finish } = await startControlled()
    const [first, second] = [await engine.begin(grouped('reject')), await engine.begin(grouped('reject'))]
    await ends(engine, second, 'ExecutionCancelled')
    await finish(first)
    await ends(engine, first, 'ExecutionCompleted')
    await engine.stop()
  })
})
