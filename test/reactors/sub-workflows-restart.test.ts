import { beforeEach, describe, expect, it, vi } from 'vitest'
import { createHandle } from '../../src/commands/handle.ts'
import { createSubWorkflows } from '../../src/commands/sub-workflows.ts'
import type { ExecutionCommand } from '../../src/domain/execution/commands.ts'
import { executionDecider } from '../../src/domain/execution/decide.ts'
import { executionStream } from '../../src/domain/execution/events.ts'
import type { EventStore } from '../../src/ports/event-store.ts'
import { handlerOf, startEngine, told } from '../support/engine.ts'
import { AT, cancel, completed, stage, workflow } from '../support/executions.ts'
import { appending, freshStore } from '../support/stores.ts'
import { calling, childOfRun, childrenOf, ends, reaches, register } from '../support/sub-workflows.ts'

let store: EventStore
beforeEach(async () => {
  store = await freshStore()
})

const done = handlerOf('shell', async () => null)
const never = handlerOf(
  'shell',
  ({ signal }) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('asked to')))),
)
const child = workflow([stage('work')], { name: 'child' })
const context = { namespace: 'default', correlationId: 'x', actor: 'user:ada', at: AT }
/** A command by a process that has nothing of this one in memory. */
const elsewhere = (id: string, command: ExecutionCommand) =>
  createHandle(store)(executionDecider, executionStream(id), command, context)

/** A disk on which the parent never hears that its run has started. */
const deaf = (before: (type: string, data: object) => Promise<unknown> = async () => {}) =>
  appending(store, async (stream, expected, events) => {
    const { type, data } = events[0]!
    await before(type, data)
    return type === 'StageStarted' && 'execution' in data
      ? new Promise(() => {})
      : store.append(stream, expected, events)
  })

describe('a sub-workflow, when the engine starts again', () => {
  it.each([
    ['after a kill', undefined, 'kill'],
    ['after a kill, from a snapshot', 2, 'kill'],
    ['after it drained', undefined, 'stop'],
  ] as const)('is not started twice, and tells how it ended: %s', async (_, snapshotEvery, end) => {
    const every = snapshotEvery === undefined ? {} : { snapshotEvery }
    // A worker that drains would wait for the clock.
    const before = await startEngine(store, end === 'kill' ? { handlers: [never], ...every } : every)
    await register(before, child)
    const id = await before.begin(workflow([calling('call')]))
    const below = await childOfRun(store, id)
    await reaches(before, below, end === 'kill' ? 'work 1 StageStarted' : 'work 1 StageScheduled')
    await reaches(before, id, 'call 1 StageStarted')
    await before[end]()
    const after = await startEngine(store, { handlers: [done], ...every })
    await vi.waitFor(async () => {
      after.clock.advance(5_000)
      expect(told(await after.history(id)).at(-1)).toBe('ExecutionCompleted')
    })
    expect(await childrenOf(store, id)).toEqual([below])
    expect(told(await after.history(id)).filter((line) => line === 'call 1 StageStarted')).toHaveLength(1)
    await after.stop()
  })

  it('is known to its parent, though a crash came between', async () => {
    const before = await startEngine(deaf())
    await register(before, child)
    const id = await before.begin(workflow([calling('call')]))
    const below = await childOfRun(store, id)
    await before.kill()
    const after = await startEngine(store, { handlers: [done] })
    await ends(after, id, 'ExecutionCompleted')
    expect(await childrenOf(store, id)).toEqual([below])
    await after.stop()
  })

  it('goes on, though its workflow could not be started any more', async () => {
    const before = await startEngine(deaf())
    await register(before, child)
    const id = await before.begin(workflow([calling('call')]))
    const below = await childOfRun(store, id)
    await before.kill()
    const refusing = { type: 'object', required: ['later'] }
    await register({ handle: createHandle(store) }, { ...child, timeoutMs: 1 }, refusing)
    const after = await startEngine(store)
    await reaches(after, id, 'call 1 StageStarted')
    expect(await childrenOf(store, id)).toEqual([below])
    await after.stop()
  })

  it('tells how it ended while nobody followed the log', async () => {
    const before = await startEngine(store)
    await register(before, child)
    const id = await before.begin(workflow([calling('call')]))
    const below = await childOfRun(store, id)
    await reaches(before, id, 'call 1 StageStarted')
    await before.stop()
    await elsewhere(below, completed('work'))
    const after = await startEngine(store)
    await ends(after, id, 'ExecutionCompleted')
    await after.stop()
  })

  it('is cancelled where its parent was cancelled while it was being started', async () => {
    let parent = ''
    const racing = deaf(async (type, data) => {
      if (type === 'ExecutionStarted' && 'parent' in data) await elsewhere(parent, cancel)
    })
    const before = await startEngine(racing)
    await register(before, child)
    parent = await before.begin(workflow([calling('call')]))
    const below = await childOfRun(store, parent)
    await before.kill()
    expect(told(await before.history(parent)).at(-1)).toBe('ExecutionCancelled')
    expect(told(await before.history(below)).at(-1)).toBe('work 1 StageScheduled')
    const after = await startEngine(store)
    await ends(after, below, 'ExecutionCancelled')
    await after.stop()
  })

  it('is cancelled where its parent was cancelled before it knew of it, and nobody followed the log', async () => {
    const before = await startEngine(deaf())
    await register(before, child)
    const id = await before.begin(workflow([calling('call')]))
    const below = await childOfRun(store, id)
    await before.kill()
    await elsewhere(id, cancel)
    const after = await startEngine(store)
    await ends(after, below, 'ExecutionCancelled')
    await after.stop()
  })
})

it('that was abandoned goes on, also when an engine that lags behind tries to start it', async () => {
  const engine = await startEngine(store)
  await register(engine, child)
  const id = await engine.begin(workflow([calling('call', { onCancel: 'abandon' })]))
  const below = await childOfRun(store, id)
  await reaches(engine, id, 'call 1 StageStarted')
  await engine.command(id, cancel)
  await ends(engine, id, 'ExecutionCancelled')
  const late = createSubWorkflows({ handle: createHandle(store), store, clock: engine.clock })
  await late.start({ namespace: 'default', executionId: id, stage: 'call', attempt: 1 }, 1)
  expect(told(await engine.history(below)).at(-1)).toBe('work 1 StageScheduled')
  await engine.stop()
})

it('two engines that follow the same log start one run and tell its end once', async () => {
  const one = await startEngine(store, { handlers: [done] })
  const two = await startEngine(store)
  await register(one, child)
  const id = await one.begin(workflow([calling('call'), calling('again', {}, { needs: ['call'] })]))
  await ends(one, id, 'ExecutionCompleted')
  expect(await childrenOf(store, id)).toHaveLength(2)
  expect(told(await one.history(id))).toEqual([
    'ExecutionStarted',
    'call 1 StageScheduled',
    'call 1 StageStarted',
    'call 1 StageCompleted',
    'again 1 StageScheduled',
    'again 1 StageStarted',
    'again 1 StageCompleted',
    'ExecutionCompleted',
  ])
  await two.stop()
  await one.stop()
})
