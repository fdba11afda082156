// A disk that is full, and one that fails: nothing is acknowledged that is not there afterwards.
import { spawnSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { EmbeddedEventStore } from '../../src/adapters/event-store/embedded.ts'
import { LOG_FILE } from '../../src/adapters/event-store/embedded-log.ts'
import { type AppendResult, type EventStore, StoreUnavailable } from '../../src/ports/event-store.ts'
import { anEvent } from '../contracts/event-store.ts'
import type { Acknowledged, Refused } from '../support/log-writer.ts'
import { endPrograms, run } from '../support/programs.ts'
import { obstacle, skipFor } from '../support/skip.ts'
import { eventsOf } from '../support/stores.ts'

const writer = join(import.meta.dirname, '../support/log-writer.ts')

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-disk-'))
})
afterEach(async () => {
  await endPrograms()
  rmSync(folder, { recursive: true, force: true })
})

/** Until there is no more room. */
function fillUp(file: string): void {
  const fd = openSync(file, 'w')
  try {
    for (const bytes = Buffer.alloc(65_536, 1); ; ) writeSync(fd, bytes)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
  } finally {
    closeSync(fd)
  }
}

/** Appends one small event after another until one is refused; answers how many were not, and why that one was. */
async function appendUntilRefused(store: EventStore) {
  for (let n = 0; n < 10_000; n++) {
    try {
      await store.append(`execution-${n}`, 'noStream', [anEvent()])
    } catch (refused) {
      return { count: n, refused }
    }
  }
  throw new Error('nothing was refused')
}

const large = () => anEvent('Large', { text: 'x'.repeat(100_000) })

describe('a full disk', () => {
  it('refuses appends, has all that were acknowledged, and goes on once there is room', async (context) => {
    const mount = ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', folder]
    skipFor(obstacle('mount', mount), context)
    try {
      writeFileSync(join(folder, 'ballast'), Buffer.alloc(1_000_000))
      const store = await EmbeddedEventStore.open(folder)
      const acknowledged = new Map<string, AppendResult>()
      let refused: unknown
      for (let n = 0; refused === undefined && n < 200; n++)
        await store.append(`execution-${n}`, 'noStream', [large(), large()]).then(
          (result) => acknowledged.set(`execution-${n}`, result),
          (error: unknown) => {
            refused = error
          },
        )
      expect(refused).toBeInstanceOf(StoreUnavailable)
      expect(refused).toMatchObject({ nothingWritten: true, message: expect.stringContaining('full') })
      expect(acknowledged.size).toBeGreaterThan(10)
      expect(await eventsOf(store, `execution-${acknowledged.size}`)).toEqual([])
      // A small one may still fit; several at once share their fate with nobody.
      const more = await Promise.allSettled(
        ['a', 'b', 'c'].map((name) => store.append(`execution-${name}`, 'noStream', [large(), large(), large()])),
      )
      for (const { status } of more) expect(status).toBe('rejected')

      rmSync(join(folder, 'ballast'))
      acknowledged.set('execution-after', await store.append('execution-after', 'noStream', [large(), large()]))
      await store.close()

      const again = await EmbeddedEventStore.open(folder)
      for (const [stream, { position }] of acknowledged) {
        const events = await eventsOf(again, stream)
        expect(events.map(({ revision }) => revision)).toEqual([0, 1])
        expect(events.at(-1)!.position).toBe(position)
      }
      expect(await again.head()).toBe(acknowledged.size * 2 - 1)
      await again.close()
    } finally {
      spawnSync('umount', [folder])
    }
  })
})

describe('a disk that fills up under a log that is used already', () => {
  /** `prepare` sets up the folder before the log is opened. */
  const fills = (what: string, prepare: (folder: string) => Promise<void>, refusal: object) =>
    it(what, async (context) => {
      skipFor(obstacle('mount', ['-t', 'tmpfs', '-o', 'size=64m', 'tmpfs', folder]), context)
      try {
        await prepare(folder)
        const store = await EmbeddedEventStore.open(folder)
        await store.append('execution-first', 'noStream', [anEvent()])
        fillUp(join(folder, 'ballast'))
        const { count, refused } = await appendUntilRefused(store)
        expect(refused).toBeInstanceOf(StoreUnavailable)
        expect(refused).toMatchObject(refusal)
        expect(count).toBeGreaterThan(100)
        const again = await store.append('execution-refused', 'noStream', [anEvent()]).catch((error: unknown) => error)
        expect(again).toBeInstanceOf(StoreUnavailable)
        expect(store.refusing).toContain('disk')

        rmSync(join(folder, 'ballast'))
        await store.append('execution-after', 'noStream', [anEvent()])
        expect(store.refusing).toBeUndefined()
        const broken = await Promise.race([store.failed, Promise.resolve('goes on')])
        expect(broken).toBe('goes on')
        await store.close()
        const later = await EmbeddedEventStore.open(folder)
        for (let n = 0; n < count; n++) expect(await eventsOf(later, `execution-${n}`)).toHaveLength(1)
        expect(await eventsOf(later, 'execution-refused')).toEqual([])
        await later.close()
      } finally {
        spawnSync('umount', [folder])
      }
    })

  const full = { nothingWritten: true, message: expect.stringContaining('full') }
  fills('refuses small appends as it does large ones', async () => {}, full)
  // Its index is what has to grow then, which SQLite only notices when the commit has been written.
  const unknown = { nothingWritten: false, message: expect.stringContaining('disk I/O error') }
  const lengthen = async (folder: string): Promise<void> => {
    const store = await EmbeddedEventStore.open(folder)
    await store.append('execution-before', 'noStream', [anEvent()])
    await store.close()
    writeFileSync(join(folder, `${LOG_FILE}-wal`), Buffer.alloc(30_000_000))
  }
  fills('goes on after it was refused by an index that could not grow', lengthen, unknown)
})

describe('a disk that fails to sync once', () => {
  it('makes the store refuse everything until it is opened again', async (context) => {
    const traced = ['-f', '-qq', '-o', join(folder, 'trace'), '-e', 'trace=fsync,fdatasync']
    skipFor(obstacle('strace', [...traced, 'true']), context)
    // The first ones make the file; one fails, those after it would succeed.
    const inject = ['-e', 'inject=fsync,fdatasync:error=EIO:when=40']
    const log = join(folder, 'log')
    const program = run('strace', [...traced, ...inject, process.execPath, writer, log, 'a'])
    expect(await program.ended).toEqual({ code: 0, signal: null })

    const lines = program.lines.map((line) => JSON.parse(line) as Acknowledged | Refused)
    const firstRefusal = lines.findIndex((line) => 'refused' in line)
    const refusals = lines.filter((line) => 'refused' in line)
    expect(firstRefusal).toBeGreaterThan(5)
    expect(refusals[0]).toMatchObject({ nothingWritten: false, refused: expect.stringContaining('disk I/O error') })
    expect(refusals.at(-1)).toMatchObject({
      nothingWritten: true,
      refused: expect.stringContaining('writing it failed before (disk I/O error)'),
    })
    expect(lines.slice(firstRefusal).filter((line) => 'count' in line)).toEqual([])

    const store = await EmbeddedEventStore.open(log)
    for (const line of lines.filter((line) => 'count' in line)) {
      const events = await eventsOf(store, line.stream)
      expect(events.find(({ revision }) => revision === line.last)).toMatchObject({ position: line.position })
      expect(events.map(({ revision }) => revision)).toEqual(events.map((_, n) => n))
    }
    await store.append('execution-after', 'noStream', [anEvent()])
    await store.close()
  })
})
