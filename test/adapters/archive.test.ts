import { mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import { v7 as uuidv7 } from 'uuid'
import { expect, it, onTestFinished, vi } from 'vitest'
import { FileArchive } from '../../src/adapters/event-store/archive-files.ts'
import { ArchivedEventStore } from '../../src/adapters/event-store/archived.ts'
import { EmbeddedEventStore } from '../../src/adapters/event-store/embedded.ts'
import type { RecordedEvent } from '../../src/domain/message.ts'
import { ArchiveUnavailable } from '../../src/ports/archive.ts'
import type { Batch, EventStore } from '../../src/ports/event-store.ts'
import { anEvent, eventStoreContract } from '../contracts/event-store.ts'
import { chanceOf } from '../support/chance.ts'
import { eventsOf } from '../support/stores.ts'

async function freshFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-archive-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  return folder
}

eventStoreContract('embedded, with an archive', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-archived-'))
  const store = new ArchivedEventStore(await EmbeddedEventStore.open(folder), new FileArchive(join(folder, 'archive')))
  const close = async () => {
    await store.close()
    await rm(folder, { recursive: true })
  }
  return { store, close }
})

/** A log of runs of `lengths` events each, mixed, with events of other streams in between. */
async function logOf(lengths: readonly number[]) {
  const folder = await freshFolder()
  const writer = await EmbeddedEventStore.open(join(folder, 'log'))
  const runs = lengths.map((length) => ({ stream: `execution-${uuidv7()}`, left: length }))
  const draw = chanceOf(7)
  for (let n = 0; runs.some(({ left }) => left > 0); n++) {
    const open = runs.filter(({ left }) => left > 0)
    const run = open[draw.below(open.length)]!
    await writer.append(run.stream, 'any', [anEvent('Happened', { n, text: 'ü\n' })])
    run.left--
    if (n % 5 === 0) await writer.append(`pool-default.p${n % 2}`, 'any', [anEvent('Noted', { n })])
  }
  await writer.close()
  // Opened anew, so that everything is read from the file: who appends has the newest in memory.
  const log = await EmbeddedEventStore.open(join(folder, 'log'))
  onTestFinished(() => log.close())
  const files = join(folder, 'archive')
  const archive = new FileArchive(files)
  const store = new ArchivedEventStore(log, archive)
  const streams = runs.map(({ stream }) => stream)
  const before = await everything(store)
  const put = async (some: readonly string[]) => {
    const read = await Promise.all(some.map((stream) => eventsOf(store, stream)))
    const written = await archive.write('default', read)
    for (const stream of some) await store.truncate(stream, 1)
    return written
  }
  return { log, store, archive, folder: files, streams, before, put }
}

async function everything(store: EventStore, options?: Parameters<EventStore['readAll']>[0]): Promise<RecordedEvent[]> {
  const found: RecordedEvent[] = []
  for await (const events of store.readAll(options)) found.push(...events)
  return found
}

async function followed(store: EventStore, batchSize: number, after = -1): Promise<RecordedEvent[]> {
  const stop = new AbortController()
  const found: RecordedEvent[] = []
  let reached = after
  for await (const { events, position, caughtUp } of store.subscribe({ after, batchSize, signal: stop.signal })) {
    for (const event of events) {
      expect(event.position).toBeGreaterThan(reached)
      expect(event.position).toBeLessThanOrEqual(position)
      reached = event.position
    }
    found.push(...events)
    if (caughtUp) stop.abort()
  }
  return found
}

it('leaves a log that reads as it did before it was cut, from wherever it is read', async () => {
  const { log, store, streams, before, put } = await logOf([3, 40, 1, 8, 25, 2])
  await put([streams[1]!, streams[3]!])
  await put([streams[0]!, streams[4]!, streams[2]!])
  expect(await everything(log)).toHaveLength(before.length - (39 + 7 + 2 + 24))
  expect(await everything(store)).toEqual(before)
  for (const after of [0, 1, 17, 50, before.length - 2])
    expect(await everything(store, { after })).toEqual(before.filter(({ position }) => position > after))
  expect(await everything(store, { prefixes: ['pool-'] })).toEqual(
    before.filter(({ stream }) => stream.startsWith('pool-')),
  )
  expect(await everything(store, { prefixes: ['execution-'] })).toEqual(
    before.filter(({ stream }) => stream.startsWith('execution-')),
  )
  for (const batchSize of [1, 7, 1_000]) {
    expect(await followed(store, batchSize)).toEqual(before)
    expect(await followed(store, batchSize, 33)).toEqual(before.filter(({ position }) => position > 33))
  }
})

it('gives back every part of a stream, in both directions', async () => {
  const { store, streams, before, put } = await logOf([12, 5])
  const [stream = ''] = streams
  const whole = before.filter((event) => event.stream === stream)
  await put([stream])
  const read = async (options: Parameters<EventStore['readStream']>[1]) => {
    const found: RecordedEvent[] = []
    for await (const events of store.readStream(stream, options)) found.push(...events)
    return found
  }
  for (const from of [undefined, 0, 3, 11, 12])
    for (const limit of [undefined, 1, 4, 20]) {
      const given = { ...(from === undefined ? {} : { from }), ...(limit === undefined ? {} : { limit }) }
      expect(await read(given)).toEqual(whole.slice(from ?? 0).slice(0, limit))
      const back = whole.slice(0, from === undefined ? undefined : from + 1).reverse()
      expect(await read({ ...given, direction: 'backwards' })).toEqual(back.slice(0, limit))
    }
  // What the log has kept still guards the stream: the same run cannot begin a second time.
  await expect(store.append(stream, 'noStream', [anEvent()])).rejects.toThrow('is at 11')
})

it('misses nothing where a stream is cut between two pages of a reader', async () => {
  const { store, streams, before, put } = await logOf([30, 30])
  const pages = store
    .subscribe({ after: -1, batchSize: 10, signal: new AbortController().signal })
    [Symbol.asyncIterator]()
  const found = [...(await pages.next()).value!.events]
  await put(streams)
  while (found.length < before.length) found.push(...(await pages.next()).value!.events)
  expect(found).toEqual(before)
  await pages.return?.(undefined)
})

it('writes files that anybody can read, and the same one for the same runs', async () => {
  const { folder, archive, store, streams, put } = await logOf([4, 3])
  const { file, events, bytes } = await put(streams)
  const runs = await Promise.all(streams.map((stream) => eventsOf(store, stream)))
  expect(await archive.write('default', runs)).toEqual({ file, events, bytes })
  const packed = await readFile(join(folder, file))
  const [head = '', ...lines] = gunzipSync(packed).toString().trimEnd().split('\n')
  expect(JSON.parse(head)).toMatchObject({ format: 'millrace-archive', version: 1, namespace: 'default', events: 7 })
  expect(lines.map((line) => JSON.parse(line).position)).toEqual(
    runs
      .flat()
      .map(({ position }) => position)
      .sort((a, b) => a - b),
  )
  expect(await archive.statistics()).toEqual({ files: 1, bytes: packed.length })
  expect(await readdir(folder)).toEqual([file])
})

it('says which file is missing or was changed, and answers nothing of it', async () => {
  const { folder, store, streams, put } = await logOf([4, 3])
  const { file } = await put(streams)
  const path = join(folder, file)
  const packed = await readFile(path)
  const fails = async (what: string) => {
    const fresh = new ArchivedEventStore(store, new FileArchive(folder))
    for (const read of [() => eventsOf(fresh, streams[0]!), () => everything(fresh)]) {
      const error = await read().catch((thrown: Error) => thrown)
      expect(error).toBeInstanceOf(ArchiveUnavailable)
      expect((error as Error).message).toContain(what)
    }
  }
  await writeFile(path, Buffer.concat([packed.subarray(0, 40), Buffer.from([packed[40]! ^ 1]), packed.subarray(41)]))
  await fails(`${file} of the archive was changed`)
  await writeFile(path, packed.subarray(0, -3))
  await fails('was changed or cut')
  // Another content with a name of its own is refused as well: the name also says where its events stand.
  await rm(path)
  const { createHash } = await import('node:crypto')
  const other = gzipSync(gunzipSync(packed).toString().split('\n').slice(0, -2).join('\n'))
  const sha256 = createHash('sha256').update(other).digest('hex')
  await writeFile(join(folder, file.replace(/[0-9a-f]{64}/, sha256)), other)
  await fails('is not what this program writes')
})

it('stops a reader where a file is missing that the log speaks of, before anything of it is missed', async () => {
  const { log, folder, store, streams, before, put } = await logOf([40, 30])
  const { file } = await put(streams)
  await store.append('archive-files', 'any', [anEvent('RunsArchived', { file })])
  const fresh = () => new ArchivedEventStore(log, new FileArchive(folder))
  expect(await everything(fresh())).toHaveLength(before.length + 1)
  await rename(folder, `${folder}-elsewhere`)
  const missing = `${file} of the archive is not in`
  for (const prefixes of [undefined, ['execution-'], ['pool-', 'execution-']])
    await expect(everything(fresh(), prefixes && { prefixes })).rejects.toThrow(missing)
  await expect(followed(fresh(), 10)).rejects.toThrow(missing)
  await rename(`${folder}-elsewhere`, folder)
  expect(await everything(fresh())).toHaveLength(before.length + 1)
})

it('gives a follower what was cut while it was held up, though it had been at the head', async (t) => {
  const { store, put, folder } = await logOf([3])
  // Another process: who appends has the newest in memory.
  const writer = await EmbeddedEventStore.open(join(folder, '../log'))
  t.onTestFinished(() => writer.close())
  const log = store.subscribe({ after: -1, signal: new AbortController().signal })[Symbol.asyncIterator]()
  while (!(await log.next()).value!.caughtUp);
  const stream = `execution-${uuidv7()}`
  for (let n = 0; n < 5; n++) await writer.append(stream, 'any', [anEvent()])
  const read = async () => {
    const { events } = (await log.next()).value as Batch
    return events.filter((event) => event.stream === stream).length
  }
  const now = performance.now()
  const clock = vi.spyOn(performance, 'now').mockImplementation(() => now + 6_000)
  t.onTestFinished(() => clock.mockRestore())
  await put([stream])
  let found = 0
  while (found < 5) found += await read()
  expect(found).toBe(5)
  await log.return?.(undefined)
})

it('takes the same runs from many at once', async () => {
  const { folder, store, streams } = await logOf([4, 3])
  const runs = await Promise.all(streams.map((stream) => eventsOf(store, stream)))
  const writing = Array.from({ length: 30 }, () => new FileArchive(folder).write('default', runs))
  const written = new Set((await Promise.all(writing)).map(({ file }) => file))
  expect(await readdir(folder)).toEqual([...written])
  expect(written.size).toBe(1)
})
