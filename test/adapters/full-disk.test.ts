// A disk that is full, and one that fails: nothing is acknowledged that is not there afterwards.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { EmbeddedEventStore } from '../../src/adapters/event-store/embedded.ts'
import { type AppendResult, StoreUnavailable } from '../../src/ports/event-store.ts'
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
