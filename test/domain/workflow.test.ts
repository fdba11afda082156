import { describe, expect, test } from 'vitest'
import type { WorkflowCommand } from '../../src/domain/workflow/commands.ts'
import { workflowDecider } from '../../src/domain/workflow/decide.ts'
import type { CompiledWorkflow } from '../../src/domain/workflow/definition.ts'
import type { WorkflowEvent, WorkflowVersionData } from '../../src/domain/workflow/events.ts'
import { evolve, initialState, newestVersion, versionToRun } from '../../src/domain/workflow/state.ts'
import { given } from '../support/given.ts'

const definition = (timeoutMs: number): CompiledWorkflow => ({
  name: 'release',
  timeoutMs,
  onFailure: 'fail-fast',
  stages: [],
})
const version = (number: number, fingerprint: string): WorkflowVersionData => ({
  name: 'release',
  version: number,
  source: { name: 'release', run: number },
  definition: definition(number),
  fingerprint,
})
const registered: WorkflowEvent = { type: 'WorkflowRegistered', data: version(1, 'a') }
const revised: WorkflowEvent = { type: 'WorkflowRevised', data: version(2, 'b') }
const retired: WorkflowEvent = { type: 'WorkflowRetired', data: { name: 'release', reason: 'replaced' } }
const register = (from: WorkflowVersionData, expectedVersion?: number): WorkflowCommand => {
  const { version: _, ...rest } = from
  return {
    type: 'RegisterWorkflow',
    data: { namespace: 'default', ...rest, ...(expectedVersion === undefined ? {} : { expectedVersion }) },
  }
}
const retire: WorkflowCommand = { type: 'RetireWorkflow', data: { name: 'release', reason: 'replaced' } }

describe('registering', () => {
  test('the first document becomes version 1', () => {
    given(workflowDecider, [])
      .when(register(version(1, 'a')))
      .then([registered])
  })
  test('the input schema is kept with the version', () => {
    const withSchema = { ...version(1, 'a'), inputSchema: { type: 'object' } }
    given(workflowDecider, [])
      .when(register(withSchema))
      .then([{ type: 'WorkflowRegistered', data: withSchema }])
  })
  test('another document becomes the next version', () => {
    given(workflowDecider, [registered])
      .when(register(version(2, 'b')))
      .then([revised])
  })
  test('an identical document changes nothing', () => {
    given(workflowDecider, [registered, revised])
      .when(register(version(3, 'b')))
      .then([])
  })
  test('going back to an older document is a new version', () => {
    given(workflowDecider, [registered, revised])
      .when(register(version(3, 'a')))
      .then([{ type: 'WorkflowRevised', data: version(3, 'a') }])
  })
  test('a retired workflow becomes active again, even with the same document', () => {
    given(workflowDecider, [registered, retired])
      .when(register(version(2, 'a')))
      .then([{ type: 'WorkflowRevised', data: version(2, 'a') }])
  })
})

describe('the expected version', () => {
  test('the newest one is accepted', () => {
    given(workflowDecider, [registered])
      .when(register(version(2, 'b'), 1))
      .then([revised])
  })
  test.each([0, 2])('%i is refused while the newest is 1', (expected) => {
    given(workflowDecider, [registered])
      .when(register(version(2, 'b'), expected))
      .thenRejected('WORKFLOW_VERSION_STALE')
  })
  test('0 asks for a new workflow', () => {
    given(workflowDecider, [])
      .when(register(version(1, 'a'), 0))
      .then([registered])
    given(workflowDecider, [])
      .when(register(version(1, 'a'), 1))
      .thenRejected('WORKFLOW_VERSION_STALE')
  })
  test('a repeat of the command that made the newest version changes nothing', () => {
    given(workflowDecider, [registered, revised])
      .when(register(version(2, 'b'), 1))
      .then([])
  })
})

describe('retiring', () => {
  test('an active workflow retires', () => {
    given(workflowDecider, [registered]).when(retire).then([retired])
  })
  test('a repeat changes nothing', () => {
    given(workflowDecider, [registered, retired]).when(retire).then([])
  })
  test('an unknown workflow cannot retire', () => {
    given(workflowDecider, []).when(retire).thenRejected('WORKFLOW_UNKNOWN')
  })
})

describe('the version to run', () => {
  const fold = (...events: readonly WorkflowEvent[]) => events.reduce(evolve, initialState)

  test('is the newest unless one is named', () => {
    expect(versionToRun(fold(registered, revised)).definition).toEqual(definition(2))
    expect(versionToRun(fold(registered, revised), 1).definition).toEqual(definition(1))
  })
  test.each([0, 3, -1, 1.5])('does not exist for %d', (number) => {
    expect(() => versionToRun(fold(registered, revised), number)).toThrow(
      expect.objectContaining({ code: 'WORKFLOW_VERSION_UNKNOWN' }),
    )
  })
  test('does not exist for a workflow nobody registered or that is retired', () => {
    expect(() => versionToRun(fold())).toThrow(expect.objectContaining({ code: 'WORKFLOW_UNKNOWN' }))
    expect(() => versionToRun(fold(registered, retired))).toThrow(expect.objectContaining({ code: 'WORKFLOW_RETIRED' }))
  })
  test('comes back with the version that reactivates, and the old ones stay', () => {
    const state = fold(registered, retired, revised)
    expect(newestVersion(state)?.version).toBe(2)
    expect(versionToRun(state, 1).fingerprint).toBe('a')
  })
})
