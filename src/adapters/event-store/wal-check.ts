// SQLite ends a write-ahead log at its first bad frame, silently. That is right for the transaction that a crash tore,
// which is the last one, and wrong for damage further up: events that were acknowledged would be gone and nobody would
// know. So before SQLite opens the log, this reads it as https://sqlite.org/fileformat2.html#walformat says.
import { closeSync, openSync, readSync } from 'node:fs'
import { DamagedLog } from './sqlite-errors.ts'

const HEADER_BYTES = 32
const FRAME_HEADER_BYTES = 24
const MAGIC = 0x377f0682
/** How much is read at once. */
const CHUNK_BYTES = 1 << 20

type Header = {
  readonly pageBytes: number
  readonly littleEndian: boolean
  /** Eight bytes that every frame of this generation repeats; frames behind them are left over from earlier ones. */
  readonly salts: bigint
  readonly sums: Sums
  readonly intact: boolean
}
type Sums = readonly [number, number]

/** `frame` counts from 1; 0 is the header of the file. */
type Fault = { readonly frame: number; readonly offset: number; readonly salts: bigint }

/**
 * Only looks. Several processes may have the log open, and one may write while this reads: such a picture mends itself,
 * so only what is found twice in a row counts.
 * @throws DamagedLog
 */
export function checkWal(file: string): void {
  const first = find(file)
  if (!first) return
  const second = find(file)
  if (second?.offset !== first.offset || second.salts !== first.salts) return
  const where = first.frame === 0 ? 'its header' : `frame ${first.frame} at byte ${first.offset}, in the middle,`
  throw new DamagedLog(file, `${where} is not as it was written`)
}

function find(file: string): Fault | undefined {
  const fd = openIfThere(file)
  if (fd === undefined) return undefined
  try {
    const header = readHeader(fd)
    const fault = header && (header.intact ? faultInFrames(fd, header) : faultOfHeader(fd, header))
    // Begun anew meanwhile, which a live writer does only once everything is in the main file.
    return fault && readHeader(fd)?.salts === fault.salts ? fault : undefined
  } finally {
    closeSync(fd)
  }
}

function openIfThere(file: string): number | undefined {
  try {
    return openSync(file, 'r')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

function readHeader(fd: number): Header | undefined {
  const bytes = Buffer.alloc(HEADER_BYTES)
  if (readSync(fd, bytes, 0, HEADER_BYTES, 0) < HEADER_BYTES) return undefined
  const littleEndian = (bytes.readUInt32BE(0) & 1) === 0
  const sums = checksum(bytes.subarray(0, 24), littleEndian, [0, 0])
  const intact =
    (bytes.readUInt32BE(0) & ~1) === MAGIC && sums[0] === bytes.readUInt32BE(24) && sums[1] === bytes.readUInt32BE(28)
  return { pageBytes: bytes.readUInt32BE(8), littleEndian, salts: bytes.readBigUInt64BE(16), sums, intact }
}

/**
 * The header reaches the disk before the first frame does, so frames behind a bad one are of no crash's making. Zeros
 * are no frames: the file is made as long as it will be before it is used.
 */
function faultOfHeader(fd: number, { salts }: Header): Fault | undefined {
  const firstFrame = Buffer.alloc(FRAME_HEADER_BYTES)
  readSync(fd, firstFrame, 0, FRAME_HEADER_BYTES, HEADER_BYTES)
  return firstFrame.some((byte) => byte !== 0) ? { frame: 0, offset: 0, salts } : undefined
}

/**
 * A commit is on the disk before the next transaction begins, so the transaction that a crash tore is followed by no
 * commit but its own; where more commits follow a bad frame, an acknowledged one was damaged.
 */
function faultInFrames(fd: number, { pageBytes, littleEndian, salts, sums }: Header): Fault | undefined {
  const frameBytes = FRAME_HEADER_BYTES + pageBytes
  let expected = sums
  let bad: Fault | undefined
  let commitsOfBad = 1
  let commitsAfter = 0
  for (const { bytes, offset } of chunks(fd, frameBytes)) {
    for (let at = 0; at + frameBytes <= bytes.length; at += frameBytes) {
      const ofThisGeneration = bytes.readBigUInt64BE(at + 8) === salts
      const isCommit = ofThisGeneration && bytes.readUInt32BE(at + 4) !== 0
      if (bad) {
        if (isCommit && ++commitsAfter > commitsOfBad) return bad
        continue
      }
      const pageFrom = at + FRAME_HEADER_BYTES
      expected = checksum(bytes.subarray(at, at + 8), littleEndian, expected)
      expected = checksum(bytes.subarray(pageFrom, pageFrom + pageBytes), littleEndian, expected)
      const fits = expected[0] === bytes.readUInt32BE(at + 16) && expected[1] === bytes.readUInt32BE(at + 20)
      if (ofThisGeneration && fits) continue
      bad = { frame: (offset + at - HEADER_BYTES) / frameBytes + 1, offset: offset + at, salts }
      // A bad frame that was a commit itself ends its transaction: any commit behind it is another's.
      if (isCommit) commitsOfBad = 0
    }
  }
  return undefined
}

function* chunks(fd: number, frameBytes: number): Generator<{ bytes: Buffer; offset: number }> {
  const buffer = Buffer.alloc(frameBytes * Math.max(1, Math.floor(CHUNK_BYTES / frameBytes)))
  for (let offset = HEADER_BYTES; ; ) {
    const read = readSync(fd, buffer, 0, buffer.length, offset)
    if (read < frameBytes) return
    yield { bytes: buffer.subarray(0, read), offset }
    if (read < buffer.length) return
    offset += read
  }
}

/** SQLite's own: two sums over pairs of 32-bit words, in the byte order that the magic number names. */
export function checksum(bytes: Buffer, littleEndian: boolean, [start0, start1]: Sums): Sums {
  const words = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let sum0 = start0
  let sum1 = start1
  for (let at = 0; at < bytes.byteLength; at += 8) {
    sum0 = (sum0 + words.getUint32(at, littleEndian) + sum1) | 0
    sum1 = (sum1 + words.getUint32(at + 4, littleEndian) + sum0) | 0
  }
  return [sum0 >>> 0, sum1 >>> 0]
}
