import { createReadStream } from 'node:fs'
import type { LogLine } from '../../ports/stage-logs.ts'

const LINE_FEED = 0x0a
const NUMBER_AT = '{"line":'.length

/**
 * The lines after number `after`, read in pieces and only as far as they are taken. Half a line at the end is still
 * being written, or was when the program died; it and anything else that isn't a line is left out.
 */
export async function* readLogFile(path: string, after: number): AsyncGenerator<LogLine> {
  for await (const bytes of completeLines(path)) {
    // Every line begins with its number, so those that aren't wanted need no parsing.
    if (!(Number.parseInt(bytes.toString('latin1', NUMBER_AT, NUMBER_AT + 16), 10) > after)) continue
    const line = parseLine(bytes)
    if (line) yield line
  }
}

export function parseLine(bytes: Buffer): LogLine | undefined {
  try {
    return JSON.parse(bytes.toString('utf8')) as LogLine
  } catch {
    return undefined
  }
}

/** What ends in a line feed, without it. */
export async function* completeLines(path: string): AsyncGenerator<Buffer> {
  let partial: Buffer = Buffer.alloc(0)
  try {
    for await (const piece of createReadStream(path)) {
      const bytes = partial.length === 0 ? (piece as Buffer) : Buffer.concat([partial, piece as Buffer])
      let start = 0
      for (let feed = bytes.indexOf(LINE_FEED); feed !== -1; feed = bytes.indexOf(LINE_FEED, start)) {
        yield bytes.subarray(start, feed)
        start = feed + 1
      }
      partial = bytes.subarray(start)
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}
