// The checker as it takes a log event by event: what it forgets, what it still sees, and what it says it checks.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { IdSet } from '../src/checker/id-set.ts'
import { invariants, tallyOf } from '../src/checker/invariants.ts'
import { LogChecker } from '../src/checker/log-checker.ts'
import { newId } from '../src/commands/new-id.ts'
import { executionEventVersions } from '../src/domain/execution/upcast.ts'
import type { RecordedEvent } from '../src/domain/message.ts'
import { poolEventVersions } from '../src/domain/pool/events.ts'
import { scheduleEventVersions } from '../src/domain/schedule/events.ts'
import { decidedLog, recordedLogOf } from './support/decided-log.ts'
import { completed, stage, started, workflow } from './support/executions.ts'

const run = decidedLog(workflow([stage('build')]), started('build'), completed('build'))

/** Several runs, the events of which come in turn, as those of a live system do. */
function mixed(count: number): RecordedEvent[] {
  const logs = Array.from({ length: count }, (_, at) => recordedLogOf(run, `execution-run-${at}`))
  const batches = run.flatMap((events, step) => {
    const from = run.slice(0, step).reduce((sum, { length }) => sum + length, 0)
    return logs.flatMap((log) => log.slice(from, from + events.length))
  })
  return batches.map((event, position) => ({ ...event, id: `event-${position}`, position }))
}

function check(events: readonly RecordedEvent[]) {
  const lines: string[] = []
  const checker = new LogChecker({}, ({ stream, revision }, invariant) => {
    lines.push(`${stream} ${revision}: ${invariant}`)
  })
  for (const event of events) checker.take(event)
  checker.end()
  return { checker, lines }
}

describe('a log of many runs at once', () => {
  const log = mixed(50)

  it('is without fault, and no run is remembered after its end', () => {
    const { checker, lines } = check(log)
    expect(lines).toEqual([])
    expect(checker.streams).toEqual({ open: 0, ended: 50 })
    expect(checker.events).toBe(log.length)
  })

  it('is without fault as far as it goes', () => {
    // Cut where a command ends, as the head of a live log is.
    for (const cut of [50 * run[0]!.length, 50 * (run[0]!.length + run[1]!.length)])
      expect(check(log.slice(0, cut))).toMatchObject({ lines: [], checker: { streams: { open: 50, ended: 0 } } })
  })

  it('what comes after the end of a run is seen, however long ago that was', () => {
    const late = { ...log[3]!, id: 'late', revision: 9, position: log.length }
    expect(check([...log, late]).lines).toEqual([`${late.stream} 9: 7`])
  })

  it('an id that was there long ago is seen, and so is a cause that was', () => {
    const other = recordedLogOf(run, 'execution-other', log.length).map((event, at) => ({
      ...event,
      id: `other-${at}`,
    }))
    const caused = other.map((event) => ({ ...event, metadata: { ...event.metadata, causationId: 'event-0' } }))
    expect(check([...log, ...caused]).lines).toEqual([])
    expect(check([...log, { ...other[0]!, id: 'event-0' }, ...other.slice(1)]).lines).toEqual(['execution-other 0: 3'])
  })
})

describe('the invariants that are told of', () => {
  it('are those that the checkers know', () => {
    const folder = join(import.meta.dirname, '../src/checker')
    const texts = readdirSync(folder).map((file) => readFileSync(join(folder, file), 'utf8'))
    const accused = texts.flatMap((text) =>
      [...text.matchAll(/accuse\(\s*[\w.]+,\s*(\d+),/g)].map(([, number]) => Number(number)),
    )
    const told = invariants.map(({ number }) => number)
    // 8 is demanded of a system whose faults are over, which nobody can say of a live one; 38 is found by who reads the log.
    expect([...new Set([...accused.filter((number) => number !== 8), 38])].sort((a, b) => a - b)).toEqual(told)
  })

  it('are about events that there are', () => {
    const known = Object.keys({ ...executionEventVersions, ...poolEventVersions, ...scheduleEventVersions })
    for (const { about } of invariants)
      if (about !== 'every event') expect(known).toEqual(expect.arrayContaining([...about]))
  })

  it('are counted by the events that they are about', () => {
    const { checker } = check(mixed(10))
    const tally = tallyOf(checker, new Map([[6, 3]]))
    expect(tally.find(({ number }) => number === 6)).toMatchObject({ events: 10, violations: 3 })
    expect(tally.find(({ number }) => number === 1)).toMatchObject({ events: checker.events, violations: 0 })
  })
})

describe('a set of ids', () => {
  it('has what was put in and nothing else, through many sizes', () => {
    const set = new IdSet()
    const ids = Array.from({ length: 100_000 }, newId)
    for (const id of ids) expect(set.add(id)).toBe(true)
    expect(set.size).toBe(ids.length)
    expect(ids.every((id) => set.has(id) && !set.add(id))).toBe(true)
    expect(Array.from({ length: 100_000 }, newId).some((id) => set.has(id))).toBe(false)
  })

  it('tells ids apart that differ in one place', () => {
    const set = new IdSet()
    for (let at = 0; at < 36; at++)
      for (const letter of '0123456789abcdef') set.add(`${'-'.repeat(at)}${letter}${'-'.repeat(35 - at)}`)
    expect(set.size).toBe(36 * 16)
    expect(set.add('')).toBe(true)
    expect(set.has('')).toBe(true)
  })
})
