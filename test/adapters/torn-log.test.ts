// A log whose process was killed, copied and then damaged byte by byte: what a crash tore at the end is cut, whole
// appends only; damage further up is refused and named.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { EmbeddedEventStore } from '../../src/adapters/event-store/embedded.ts'
import { EmbeddedLog, LOG_FILE } from '../../src/adapters/event-store/embedded-log.ts'
import { checkWal } from '../../src/adapters/event-store/wal-check.ts'
import { StoreUnavailable } from '../../src/ports/event-store.ts'
import { anEvent } from '../contracts/event-store.ts'
import type { Acknowledged } from '../support/log-writer.ts'
import { endPrograms, runNode } from '../support/programs.ts'
import { type Frame, framesOf } from '../support/wal-frames.ts'

const writer = join(import.meta.dirname, '../support/log-writer.ts')
const WAL = `${LOG_FILE}-wal`

/** Appends in a process of its own until `enough` acknowledgements, then kills it, which leaves its WAL behind. */
async function killedWriter(folder: string, enough: number, bytes: number): Promise<Acknowledged[]> {
  const program = runNode(writer, [folder, 'a', String(bytes)])
  await program.until((lines) => lines.filter((line) => line.includes('"count"')).length >= enough)
  await program.stop('SIGKILL')
  const whole = program.lines.filter((line) => line.includes('"count"') && line.endsWith('}'))
  return whole.map((line) => JSON.parse(line) as Acknowledged)
}

let original: string
let copy: string
let acknowledged: Acknowledged[]
let main: Buffer
/** The WAL as it was left, with the zeros that it was lengthened by. */
let untouched: Buffer
/** Without the zeros, which keeps thousands of copies small. */
let wal: Buffer
/** The frames of each transaction. */
let transactions: Frame[][]

beforeAll(async () => {
  original = mkdtempSync(join(tmpdir(), 'millrace-torn-'))
  acknowledged = await killedWriter(original, 40, 200)
  main = readFileSync(join(original, LOG_FILE))
  untouched = readFileSync(join(original, WAL))
  transactions = framesOf(untouched)
  const { offset, length } = transactions.at(-1)!.at(-1)!
  wal = untouched.subarray(0, offset + length)
})
afterAll(() => rmSync(original, { recursive: true }))
beforeEach(() => {
  copy = mkdtempSync(join(tmpdir(), 'millrace-torn-'))
})
afterEach(async () => {
  await endPrograms()
  rmSync(copy, { recursive: true })
})

/** The bytes of the events up to which the log reaches without its last transaction, and with it. */
type Reach = { readonly before: number; readonly whole: number }

function reach(): Reach {
  const head = (bytes: Buffer): number => open(bytes, (log) => log.head())
  return { before: head(wal.subarray(0, transactions.at(-1)![0]!.offset)), whole: head(wal) }
}

/** Opens a copy of the log with this WAL as a start of the program would. */
function open<T>(bytes: Buffer, use: (log: EmbeddedLog) => T): T {
  writeFileSync(join(copy, LOG_FILE), main)
  writeFileSync(join(copy, WAL), bytes)
  rmSync(join(copy, `${LOG_FILE}-shm`), { force: true })
  checkWal(join(copy, WAL))
  const log = new EmbeddedLog(copy, { writes: false })
  try {
    return use(log)
  } finally {
    log.close()
  }
}

const flipped = (offset: number): Buffer => {
  const bytes = Buffer.from(wal)
  bytes[offset]! ^= 0x10
  return bytes
}

/** Every byte of a frame's header, both ends of its page, and a dense sample of what is between. */
const bytesOf = ({ offset, length }: Frame): number[] =>
  Array.from({ length }, (_, n) => n).flatMap((n) => (n < 40 || n > length - 16 || n % 151 === 0 ? [offset + n] : []))

/** A torn write leaves zeros or old bytes; it never marks as a commit what was none. So those four bytes stay as they are. */
const isCommitMark = ({ offset }: Frame, at: number): boolean => at - offset >= 4 && at - offset < 8

function expectWhole(log: EmbeddedLog, { before, whole }: Reach): void {
  const head = log.head()
  expect([before, whole]).toContain(head)
  const positions = log.readAll(-1, 10_000).map(({ position }) => position)
  expect(positions).toEqual(Array.from({ length: head + 1 }, (_, n) => n))
  const { id, type, version, at, data, metadata } = anEvent()
  const cells = [id, type, version, at, JSON.stringify(data), JSON.stringify(metadata)]
  const request = { seq: 1, stream: 'execution-after', expected: 'noStream', cells } as const
  expect(log.appendAll([request])).toMatchObject([{ kind: 'appended', position: head + 1 }])
}

describe('a log whose process was killed', () => {
  it('has everything that was acknowledged', () => {
    expect(transactions.length).toBeGreaterThan(15)
    open(untouched, (log) => {
      for (const { stream, count, last, position } of acknowledged) {
        const rows = log.readStream(stream, last - count + 1, false, count)
        expect(rows.map(({ revision }) => revision)).toEqual(
          Array.from({ length: count }, (_, n) => last - count + 1 + n),
        )
        expect(rows.at(-1)!.position).toBe(position)
      }
    })
  })
})

describe('a torn end', () => {
  it('is cut wherever it is torn, whole appends only, and the log goes on', () => {
    const bounds = reach()
    expect(bounds.before).toBeLessThan(bounds.whole)
    for (const at of transactions.at(-1)!.flatMap(bytesOf)) open(wal.subarray(0, at), (log) => expectWhole(log, bounds))
  })

  it('is cut where zeros stand for what was never written', () => {
    const bounds = reach()
    for (const at of transactions.at(-1)!.flatMap(bytesOf)) {
      const zeroed = Buffer.alloc(wal.length + 40_000)
      wal.copy(zeroed, 0, 0, at)
      open(zeroed, (log) => expectWhole(log, bounds))
    }
  })

  it('is cut whatever byte of it is not what it was', () => {
    const bounds = reach()
    for (const frame of transactions.at(-1)!)
      for (const at of bytesOf(frame).filter((at) => !isCommitMark(frame, at)))
        open(flipped(at), (log) => expectWhole(log, bounds))
  })

  it('is not mistaken for damage at any byte', () => {
    const file = join(copy, WAL)
    const bytes = Buffer.from(wal)
    for (const frame of transactions.at(-1)!)
      for (let at = frame.offset; at < frame.offset + frame.length; at += 29) {
        if (isCommitMark(frame, at)) continue
        bytes[at]! ^= 0xff
        writeFileSync(file, bytes)
        checkWal(file)
        bytes[at]! ^= 0xff
      }
  })

  it('may be all there is', () => {
    for (const length of [0, 1, 31, 32, 33, 55, 56, 4_000]) {
      writeFileSync(join(copy, WAL), wal.subarray(0, length))
      expect(() => checkWal(join(copy, WAL))).not.toThrow()
    }
    writeFileSync(join(copy, WAL), Buffer.alloc(40_000))
    expect(() => checkWal(join(copy, WAL))).not.toThrow()
  })
})

describe('an end that is torn a second time', () => {
  it('is not mistaken for damage, though what the first crash tore is behind it', () => {
    // A transaction of many frames that came to the disk without its first one: its commit, but no sum that fits.
    const [frame, commit] = [transactions.findLast((frames) => frames.length > 1)!.at(0)!, transactions.at(-1)!.at(-1)!]
    const bytesOf = ({ offset, end }: Frame): Buffer => wal.subarray(offset, end)
    const torn = Buffer.concat([wal, ...Array.from({ length: 20 }, () => bytesOf(frame)), bytesOf(commit)])
    writeFileSync(join(copy, LOG_FILE), main)
    writeFileSync(join(copy, WAL), torn)
    const log = new EmbeddedLog(copy, { writes: true })
    const head = log.head()
    const { id, type, version, at, data, metadata } = anEvent()
    const cells = [id, type, version, at, JSON.stringify(data), JSON.stringify(metadata)]
    log.appendAll([{ seq: 1, stream: 'execution-after', expected: 'noStream', cells }])
    const [next, left] = [readFileSync(join(copy, LOG_FILE)), readFileSync(join(copy, WAL))]
    log.close()

    const last = framesOf(left).at(-1)!.at(-1)!
    left[last.end - 1]! ^= 0x10
    main = next
    open(left, (again) => expect(again.head()).toBe(head))
  })
})

describe('damage further up', () => {
  it('is refused in any frame that an acknowledged transaction follows, and named', () => {
    const file = join(copy, WAL)
    const frames = transactions.slice(0, -2).flat()
    for (const { number, offset, length } of frames)
      for (const at of [0, 5, 9, 14, 17, 22, 24, 1_000, length - 1]) {
        writeFileSync(file, flipped(offset + at))
        expect(() => checkWal(file), `byte ${at} of frame ${number}`).toThrow(
          `frame ${number} at byte ${offset}, in the middle,`,
        )
      }
  })

  it('is refused before SQLite sees the file, which would have cut it and lost the rest', async () => {
    const { number, offset } = transactions[10]![0]!
    writeFileSync(join(copy, LOG_FILE), main)
    writeFileSync(join(copy, WAL), flipped(offset + 100))
    const refused = await EmbeddedEventStore.open(copy).catch((error: unknown) => error)
    expect(refused).toBeInstanceOf(StoreUnavailable)
    expect((refused as Error).message).toContain(
      `${join(copy, WAL)} is damaged: frame ${number} at byte ${offset}, in the middle,`,
    )
    expect(readFileSync(join(copy, WAL)).equals(flipped(offset + 100))).toBe(true)
  })

  it('is refused in the header of the WAL', () => {
    for (let at = 0; at < 32; at++) {
      writeFileSync(join(copy, WAL), flipped(at))
      expect(() => checkWal(join(copy, WAL)), `byte ${at}`).toThrow('its header is not as it was written')
    }
  })
})

describe('a damaged main file', () => {
  /** A log that was closed, so that all of it is in the main file. */
  const closed = (change: (bytes: Buffer) => void): void => {
    open(wal, () => {})
    const bytes = readFileSync(join(copy, LOG_FILE))
    change(bytes)
    writeFileSync(join(copy, LOG_FILE), bytes)
  }

  it('that is no database at all is refused by its name, and nothing is left running', async () => {
    closed((bytes) => bytes.fill('not a database ', 0, 100))
    await expect(EmbeddedEventStore.open(copy)).rejects.toThrow(
      `${join(copy, LOG_FILE)} is damaged: file is not a database; nothing was changed`,
    )
  })

  it('with a page that was overwritten is refused', async () => {
    closed((bytes) => bytes.fill(0xff, 3 * 4_096, 4 * 4_096))
    await expect(EmbeddedEventStore.open(copy)).rejects.toThrow(`${join(copy, LOG_FILE)} is damaged: `)
  })

  it('that lacks an event inside a stream is refused', async () => {
    closed(() => {})
    const db = new DatabaseSync(join(copy, LOG_FILE))
    const shared = `SELECT id FROM streams WHERE name = 'execution-shared'`
    db.exec(`DELETE FROM events WHERE stream = (${shared}) AND revision = 5`)
    db.close()
    await expect(EmbeddedEventStore.open(copy)).rejects.toThrow(/has revision 4, where 5 belongs/)
  })
})

describe('a large log', () => {
  it('is checked in little time', async () => {
    await killedWriter(copy, 40, 240_000)
    const file = join(copy, WAL)
    const { length } = readFileSync(file)
    expect(length).toBeGreaterThan(12_000_000)
    checkWal(file)
    const from = performance.now()
    checkWal(file)
    const tookMs = performance.now() - from
    // 50 ms on a machine that does nothing else; a busy one gets some more.
    expect(tookMs / (length / 16e6)).toBeLessThan(200)
  })
})
