// Where the frames of SQLite's write-ahead log are, by transaction; see https://sqlite.org/fileformat2.html#walformat.
import { checksum } from '../../src/adapters/event-store/wal-check.ts'

/** `number` counts from 1, `length` has the header of 24 bytes in it, `end` is where the next one begins. */
export type Frame = { readonly number: number; readonly offset: number; readonly length: number; readonly end: number }

export const WAL_HEADER_BYTES = 32

/** Whole transactions only; frames behind the last one, torn ones, or those of an earlier generation, are left out. */
export function framesOf(wal: Buffer): Frame[][] {
  const length = wal.readUInt32BE(8) + 24
  const littleEndian = (wal.readUInt32BE(0) & 1) === 0
  let sums = checksum(wal.subarray(0, 24), littleEndian, [0, 0])
  const transactions: Frame[][] = []
  let open: Frame[] = []
  for (let offset = WAL_HEADER_BYTES, number = 1; offset + length <= wal.length; offset += length, number++) {
    sums = checksum(wal.subarray(offset, offset + 8), littleEndian, sums)
    sums = checksum(wal.subarray(offset + 24, offset + length), littleEndian, sums)
    const fits = sums[0] === wal.readUInt32BE(offset + 16) && sums[1] === wal.readUInt32BE(offset + 20)
    if (!fits || !isOfGeneration(wal, offset)) break
    open.push({ number, offset, length, end: offset + length })
    if (wal.readUInt32BE(offset + 4) === 0) continue
    transactions.push(open)
    open = []
  }
  return transactions
}

/** Whether what is at this offset was written as a frame since the log was begun anew for the last time. */
export const isOfGeneration = (wal: Buffer, offset: number): boolean =>
  wal.subarray(offset + 8, offset + 16).equals(wal.subarray(16, 24))
