// Where the frames of SQLite's write-ahead log are, by transaction; see https://sqlite.org/fileformat2.html#walformat.

/** `number` counts from 1, `length` has the header of 24 bytes in it. */
export type Frame = { readonly number: number; readonly offset: number; readonly length: number }

/** Whole transactions only; frames behind the last one, or of an earlier generation, are left out. */
export function framesOf(wal: Buffer): Frame[][] {
  const length = wal.readUInt32BE(8) + 24
  const salts = wal.subarray(16, 24)
  const transactions: Frame[][] = []
  let open: Frame[] = []
  for (let offset = 32, number = 1; offset + length <= wal.length; offset += length, number++) {
    if (!wal.subarray(offset + 8, offset + 16).equals(salts)) break
    open.push({ number, offset, length })
    if (wal.readUInt32BE(offset + 4) === 0) continue
    transactions.push(open)
    open = []
  }
  return transactions
}
