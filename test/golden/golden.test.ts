// Released events, as they were stored: each is read by today's program, and none is ever edited.
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { auditEventVersions } from '../../src/domain/audit/events.ts'
import { executionDecider } from '../../src/domain/execution/decide.ts'
import type { ExecutionEvent } from '../../src/domain/execution/events.ts'
import { executionEventVersions, executionUpcasters } from '../../src/domain/execution/upcast.ts'
import type { RecordedEvent } from '../../src/domain/message.ts'
import { poolEventVersions } from '../../src/domain/pool/events.ts'
import { projectionEventVersions } from '../../src/domain/projection/events.ts'
import { removalEventVersions, retentionEventVersions } from '../../src/domain/retention/events.ts'
import { scheduleEventVersions } from '../../src/domain/schedule/events.ts'
import { EventFromTheFuture, upcast } from '../../src/domain/upcast.ts'
import { workerEventVersions } from '../../src/domain/worker/events.ts'
import { workflowEventVersions, workflowUpcasters } from '../../src/domain/workflow/events.ts'
import { inWords } from '../../src/queries/in-words.ts'
import { completed } from '../support/executions.ts'

type Checksums = { readonly [file: string]: string }
const folder = import.meta.dirname
const read = (file: string): string => readFileSync(join(folder, file), 'utf8')
const stored = (name: string) => JSON.parse(read(`events/${name}.json`)) as RecordedEvent
const names = readdirSync(join(folder, 'events')).map((file) => file.replace('.json', ''))
const versions: { readonly [type: string]: number } = {
  ...executionEventVersions,
  ...workflowEventVersions,
  ...poolEventVersions,
  ...scheduleEventVersions,
  ...workerEventVersions,
  ...projectionEventVersions,
  ...auditEventVersions,
  ...retentionEventVersions,
  ...removalEventVersions,
}
const upcasters: { readonly [type: string]: readonly unknown[] } = { ...executionUpcasters, ...workflowUpcasters }
/** What the next version may say besides, they do not. */
const additive = new Set(['ExecutionStarted.v2', 'StageScheduled.v2', 'WorkflowRegistered.v1', 'WorkflowRevised.v1'])

/** What differs from the list: files that were edited, are gone, or are not listed. */
function changed(checksums: Checksums, contents: { readonly [file: string]: string }): readonly string[] {
  const sums = Object.entries(contents).map(([file, text]) => [file, createHash('sha256').update(text).digest('hex')])
  const now = Object.fromEntries(sums) as Checksums
  const files = new Set([...Object.keys(checksums), ...Object.keys(now)])
  return [...files].filter((file) => checksums[file] !== now[file])
}

const contents = Object.fromEntries(
  ['events', 'messages', 'streams'].flatMap((kind) =>
    readdirSync(join(folder, kind)).map((file) => [`${kind}/${file}`, read(`${kind}/${file}`)] as const),
  ),
)

describe('golden events', () => {
  it('are as they were when they were released; a new version adds a file and its line in checksums.json', () => {
    const checksums = JSON.parse(read('checksums.json')) as Checksums
    expect(changed(checksums, contents)).toEqual([])
    const [file] = Object.keys(contents)
    expect(changed(checksums, { ...contents, [file!]: `${contents[file!]} ` })).toEqual([file])
    const { [file!]: _, ...without } = contents
    expect(changed(checksums, without)).toEqual([file])
    expect(changed(checksums, { ...contents, 'events/New.v1.json': '{}' })).toEqual(['events/New.v1.json'])
  })

  it('are there for every version of every event, and for no other', () => {
    const expected = Object.entries(versions).flatMap(([type, newest]) =>
      Array.from({ length: newest }, (_, older) => `${type}.v${older + 1}`),
    )
    expect(names.sort()).toEqual(expected.sort())
  })

  it.each(names)('%s is what its name says, and is read as the newest version', (name) => {
    const event = stored(name)
    expect(`${event.type}.v${event.version}`).toBe(name)
    const now = upcast(event)
    expect(now.version).toBe(versions[event.type])
    if (event.version === now.version) expect(now).toBe(event)
    else if (additive.has(name)) expect(now.data).toEqual(event.data)
    else expect(now.data).not.toEqual(event.data)
  })

  it('of runs are told in words, whole sentences of what they say', () => {
    const types = Object.keys(executionEventVersions)
    for (const name of names.filter((one) => types.includes(one.split('.')[0]!))) {
      const said = inWords(upcast(stored(name)) as unknown as ExecutionEvent)
      expect(said, name).toMatch(/^(The run(’s)?|A run|Stage|What was done|The signal) .{5,}/)
      expect(said, name).not.toMatch(/undefined|\[object| {2}|\(\)/)
    }
  })

  it('of an older version say today what they said then', () => {
    expect(upcast(stored('ExecutionStarted.v1')).data).toMatchObject({ timeoutAt: '2026-01-02T04:04:05.000Z' })
    const wait = upcast(stored('StageScheduled.v1')).data
    expect(wait).toMatchObject({ stage: 'pause', waitsFor: { for: 'timer', until: '2026-01-02T03:09:07.000Z' } })
    expect(wait).not.toHaveProperty('wakeAt')
  })

  it('have an upcaster for each step from one version to the next', () => {
    for (const [type, newest] of Object.entries(versions)) expect((upcasters[type] ?? []).length, type).toBe(newest - 1)
  })

  it('of a version or a type to come are refused, not skipped', () => {
    const event = stored('StageFailed.v1')
    expect(() => upcast({ ...event, version: 2 })).toThrow(EventFromTheFuture)
    expect(() => upcast({ ...event, type: 'StageTeleported' } as never)).toThrow('does not know StageTeleported')
  })
})

describe('a stream of an older version', () => {
  it('folds, and the run goes on to its end', () => {
    const lines = read('streams/delivery.v1.ndjson').trimEnd().split('\n')
    const events = lines.map((line) => upcast(JSON.parse(line) as RecordedEvent<ExecutionEvent>))
    const state = events.reduce(executionDecider.evolve, executionDecider.initialState)
    expect(state).toMatchObject({
      status: 'running',
      timeoutAt: '2026-01-02T04:04:05.000Z',
      stages: [{ status: 'completed', output: { image: 'x:1' } }, { status: 'completed' }, { status: 'running' }],
    })
    const decided = executionDecider.decide(completed('ship'), state)
    expect(decided.map(({ type }) => type)).toEqual(['StageCompleted', 'ExecutionCompleted'])
  })
})
