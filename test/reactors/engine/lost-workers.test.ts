import { beforeEach, describe, expect, it, vi } from 'vitest'
import type { Work } from '../../../src/domain/execution/work.ts'
import type { EventStore } from '../../../src/ports/event-store.ts'
import { startEngine, told } from '../../support/engine.ts'
import { stage, workflow } from '../../support/executions.ts'
import { freshStore } from '../../support/stores.ts'

let store: EventStore
beforeEach(async () => {
  store = await freshStore()
})

describe('an attempt whose worker is lost', () => {
  it('is made again once nobody holds its lease, and the late report is refused and leaves no event', async () => {
    const engine = await startEngine(store)
    const taken: Work[] = []
    engine.queue.consume(['default'], { concurrency: 1 }, async (work) => {
      taken.push(work)
    })
    const id = await engine.begin(workflow([stage('a')]))
    await vi.waitFor(() => expect(taken).toHaveLength(1))
    const key = `${id}:a:1`
    const about = { stage: 'a', worker: 'stalled' }
    await engine.leases.claim(key, 'stalled', 30_000)
    const at = new Date(engine.clock.now()).toISOString()
    await engine.reports.report(taken[0]!, { type: 'StartStage', attempt: 1, at, ...about })
    engine.clock.advance(29_000)
    expect(taken).toHaveLength(1)
    await vi.waitFor(() => {
      engine.clock.advance(1_000)
      expect(taken).toHaveLength(2)
    })
    const late = { type: 'CompleteStage', attempt: 1, at, output: 'late', ...about } as const
    expect(await engine.reports.report(taken[0]!, late)).toBe('refused')
    const done = { type: 'CompleteStage', attempt: 2, at, output: 'good', stage: 'a', worker: 'other' } as const
    expect(await engine.reports.report(taken[1]!, done)).toBe('accepted')
    expect(told(await engine.history(id))).toEqual([
      'ExecutionStarted',
      'a 1 StageScheduled',
      'a 1 StageStarted',
      'a 1 StageFailed',
      'a 2 StageRetried',
      'a 2 StageScheduled',
      'a 2 StageStarted',
      'a 2 StageCompleted',
      'ExecutionCompleted',
    ])
    await engine.stop()
  })
})
