// Two programs on one log: each appends to streams of its own and both to one stream, with expected revisions, while
// followers in this process and over two connections watch. One is killed on the way.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { EmbeddedEventStore } from '../../src/adapters/event-store/embedded.ts'
import { LOG_FILE } from '../../src/adapters/event-store/embedded-log.ts'
import type { RecordedEvent } from '../../src/domain/message.ts'
import { START } from '../../src/ports/event-store.ts'
import type { Acknowledged, Followed } from '../support/log-writer.ts'
import { endPrograms, type Program, runNode } from '../support/programs.ts'
import { eventsOf } from '../support/stores.ts'

const writer = join(import.meta.dirname, '../support/log-writer.ts')
const SHARED = 'execution-shared'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-shared-'))
})
afterEach(async () => {
  await endPrograms()
  rmSync(folder, { recursive: true })
})

const start = (name: string): Program => runNode(writer, [folder, name])

/** The last line may be cut off by a kill. */
const parsed = (program: Program): (Acknowledged | Followed)[] =>
  program.lines.filter((line) => line.endsWith('}')).map((line) => JSON.parse(line) as Acknowledged | Followed)
const acknowledgedBy = (program: Program): Acknowledged[] => parsed(program).filter((line) => 'count' in line)
const followedBy = (program: Program): number[] => parsed(program).flatMap((line) => ('saw' in line ? line.saw : []))

const enough = (program: Program, count: number): Promise<void> =>
  program.until((lines) => lines.filter((line) => line.includes('"count"')).length >= count)

function expectWholeLog(events: readonly RecordedEvent[]): void {
  expect(events.map(({ position }) => position)).toEqual(events.map((_, n) => n))
  const streams = Map.groupBy(events, ({ stream }) => stream)
  for (const [stream, ofStream] of streams)
    expect(
      ofStream.map(({ revision }) => revision),
      stream,
    ).toEqual(ofStream.map((_, n) => n))
  expect(new Set(events.map(({ id }) => id)).size).toBe(events.length)
}

function expectAllThere(events: readonly RecordedEvent[], acknowledged: readonly Acknowledged[]): void {
  const at = new Map(events.map((event) => [event.position, event]))
  for (const { stream, count, last, position } of acknowledged)
    for (let n = 0; n < count; n++) expect(at.get(position - n)).toMatchObject({ stream, revision: last - n })
}

function expectUndamaged(): void {
  const db = new DatabaseSync(join(folder, LOG_FILE))
  expect(db.prepare('PRAGMA integrity_check').all()).toEqual([{ integrity_check: 'ok' }])
  db.close()
}

async function everything(store: EmbeddedEventStore): Promise<RecordedEvent[]> {
  const found: RecordedEvent[] = []
  for await (const batch of store.readAll()) found.push(...batch)
  return found
}

describe('two programs on one log', () => {
  it('lose and double nothing, and each sees everything in order', async () => {
    const store = await EmbeddedEventStore.open(folder)
    const stop = new AbortController()
    const seen: number[] = []
    const following = (async () => {
      for await (const { events } of store.subscribe({ after: START, signal: stop.signal }))
        seen.push(...events.map(({ position }) => position))
    })()
    const programs = [start('a'), start('b')]
    await Promise.all(programs.map((program) => enough(program, 200)))
    for (const program of programs) expect(await program.stop('SIGTERM')).toEqual({ code: 0, signal: null })

    const events = await everything(store)
    const head = events.length - 1
    expectWholeLog(events)
    for (const program of programs) expectAllThere(events, acknowledgedBy(program))
    // Both wrote to the one stream, in turns.
    const writers = (await eventsOf(store, SHARED)).map(({ data }) => (data as { by: string }).by)
    expect(new Set(writers)).toEqual(new Set(['a', 'b']))
    // A follower may be told of the last ones after a reader has seen them.
    await store.append('execution-end', 'noStream', [{ ...eventLike(events[0]!), id: crypto.randomUUID() }])
    await expect.poll(() => seen.at(-1)).toBe(head + 1)
    expect(seen).toEqual(Array.from({ length: head + 2 }, (_, n) => n))
    for (const program of programs) {
      const followed = followedBy(program)
      expect(followed.length).toBeGreaterThan(200)
      expect(followed).toEqual(followed.map((_, n) => n))
    }
    stop.abort()
    await following
    await store.close()
    expectUndamaged()
  })

  it('one of them killed, the other goes on, and what both were told is there', async () => {
    const [killed, other] = [start('a'), start('b')]
    await Promise.all([enough(killed, 60), enough(other, 60)])
    await killed.stop('SIGKILL')
    const before = acknowledgedBy(other).length
    await enough(other, before + 60)
    const again = start('c')
    await enough(again, 60)
    for (const program of [other, again]) expect(await program.stop('SIGTERM')).toEqual({ code: 0, signal: null })

    const store = await EmbeddedEventStore.open(folder)
    const events = await everything(store)
    expectWholeLog(events)
    for (const program of [killed, other, again]) expectAllThere(events, acknowledgedBy(program))
    await store.close()
    expectUndamaged()
  })

  it('may create it at the same moment', async () => {
    const programs = ['a', 'b', 'c'].map(start)
    await Promise.all(programs.map((program) => enough(program, 10)))
    for (const program of programs) expect(await program.stop('SIGTERM')).toEqual({ code: 0, signal: null })
    expectUndamaged()
  })
})

const eventLike = ({ type, version, at, data, metadata }: RecordedEvent) => ({ type, version, at, data, metadata })
