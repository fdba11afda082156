// More stages at once than one append can take.
import { describe, expect, it } from 'vitest'
import { executionDecider } from '../../../src/domain/execution/decide.ts'
import type { ExecutionEvent } from '../../../src/domain/execution/events.ts'
import type { Execution } from '../../../src/domain/execution/state.ts'
import type { Json } from '../../../src/domain/message.ts'
import type { CompiledStage } from '../../../src/domain/workflow/definition.ts'
import { MAX_APPEND_BYTES } from '../../../src/ports/event-store.ts'
import { completed, stage, start, workflow } from '../../support/executions.ts'

/** With what is stored beside the data of each event. */
const sizeOf = (events: readonly ExecutionEvent[]): number =>
  events.reduce((sum, event) => sum + JSON.stringify(event).length + 450, 0)
const scheduledIn = (events: readonly ExecutionEvent[]) =>
  events.flatMap((event) => (event.type === 'StageScheduled' ? [event.data.stage] : []))

/** Plays a run in which the stages end in the order in which they were scheduled. */
function play(stages: readonly CompiledStage[], input: Json = {}) {
  const batches: (readonly ExecutionEvent[])[] = []
  let state: Execution = executionDecider.initialState
  const apply = (command: Parameters<typeof executionDecider.decide>[0]) => {
    const events = executionDecider.decide(command, state)
    state = events.reduce(executionDecider.evolve, state)
    batches.push(events)
    return scheduledIn(events)
  }
  const going = apply(start(workflow(stages), { input }))
  for (const id of going) going.push(...apply(completed(id, 1)))
  return { batches, state, scheduled: going }
}

describe('a run that is wider than an append', () => {
  const script = `echo ${'x'.repeat(300)}`
  const work = (id: string, more: Partial<CompiledStage> = {}) => stage(id, { with: { run: script }, ...more })
  const many = Array.from({ length: 998 }, (_, at) => `s${at}`)

  it.each([
    ['from the start', [...many.map((id) => work(id)), work('last', { needs: many })]],
    [
      'after a stage',
      [work('first'), ...many.map((id) => work(id, { needs: ['first'] })), work('last', { needs: many })],
    ],
    [
      'as a matrix',
      [work('first', { matrix: { axes: { n: many }, failFast: true } }), work('last', { needs: ['first'] })],
    ],
  ])('%s begins what fits, and the rest as it goes on', (_, stages) => {
    const { batches, state, scheduled } = play(stages)
    expect(Math.max(...batches.map(sizeOf))).toBeLessThan(MAX_APPEND_BYTES)
    expect(state.status).toBe('completed')
    expect(new Set(scheduled).size).toBe(scheduled.length)
    expect(scheduled.at(-1)).toBe('last')
  })

  it('begins one whatever its size, so that it always goes on', () => {
    const large = Array.from({ length: 20 }, (_, at) => work(`s${at}`, { with: { text: '${{ input.text }}' } }))
    const { batches, state } = play(large, { text: 'x'.repeat(200_000) })
    expect(scheduledIn(batches[0]!)).toEqual(['s0', 's1'])
    expect(Math.max(...batches.map(sizeOf))).toBeLessThan(MAX_APPEND_BYTES)
    expect(state.status).toBe('completed')
  })
})
