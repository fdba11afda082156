// PostgreSQL's COPY in its binary format: rows cost the server and this process far less than parameters or text do.
// The format is that of the manual, "COPY", section "Binary Format".
import { type ClientBase, type Connection, Query } from 'pg'

const SIGNATURE = Buffer.from('PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0', 'latin1')
/** PostgreSQL counts microseconds since 2000. */
const EPOCH_MS = Date.UTC(2000, 0, 1)
/** Up to here a loop is quicker than a call into native code. */
const SHORT = 48
const MINUTE = '2026-01-01T00:00:'.length
const ISO = '2026-01-01T00:00:00.000Z'.length
/** The value of each hexadecimal digit by its character code; 255 stands for what is none. */
const NIBBLES = new Uint8Array(128).fill(255)
for (const [value, digit] of [...'0123456789abcdef'].entries()) {
  NIBBLES[digit.charCodeAt(0)] = value
  NIBBLES[digit.toUpperCase().charCodeAt(0)] = value
}
const encoder = new TextEncoder()

/** Rows in the making: `row` begins one, and a call for each column follows, in order. Some 25 million fields a second, hence by hand. */
export class Rows {
  count = 0
  #bytes: Uint8Array<ArrayBuffer> = Buffer.allocUnsafeSlow(64 * 1024)
  #end = 0
  #minute = ' '
  #minuteMs = 0
  readonly #columns: number

  constructor(columns: number) {
    this.#columns = columns
    this.#bytes.set(SIGNATURE)
    this.#end = SIGNATURE.length
  }

  row(): void {
    this.#reserve(2)
    this.#int16(this.#columns)
    this.count++
  }

  int(value: number | null): void {
    this.#reserve(8)
    if (value === null) {
      this.#int32(-1)
      return
    }
    this.#int32(4)
    this.#int32(value)
  }

  bool(value: boolean): void {
    this.#reserve(5)
    this.#int32(1)
    this.#bytes[this.#end++] = value ? 1 : 0
  }

  /** Safe integers only. */
  bigint(value: number): void {
    this.#reserve(12)
    this.#int32(8)
    this.#int64(value)
  }

  /** ISO 8601, to the millisecond. */
  time(value: string | null): void {
    this.#reserve(12)
    if (value === null) {
      this.#int32(-1)
      return
    }
    this.#int32(8)
    this.#int64((this.#parse(value) - EPOCH_MS) * 1_000)
  }

  /** Events that follow each other are mostly of the same minute, and a minute is what takes time to parse. */
  #parse(value: string): number {
    if (value.length !== ISO || value.charCodeAt(ISO - 1) !== 90) return parseTime(value)
    if (!value.startsWith(this.#minute)) {
      this.#minute = value.slice(0, MINUTE)
      this.#minuteMs = parseTime(`${this.#minute}00.000Z`)
    }
    const ms = this.#minuteMs + Math.round(Number(value.slice(MINUTE, -1)) * 1_000)
    return Number.isNaN(ms) ? parseTime(value) : ms
  }

  /** PostgreSQL holds no NUL in text; it becomes U+FFFD. */
  text(value: string | null | undefined): void {
    if (value === null || value === undefined) {
      this.#reserve(4)
      this.#int32(-1)
    } else this.#string(plainText(value), 0)
  }

  /** For a `json` column; the value is JSON as text. */
  json(text: string | null): void {
    this.text(text)
  }

  /** For a `jsonb` column, which refuses a NUL and half a surrogate pair; each becomes U+FFFD. */
  jsonb(value: unknown): void {
    const text = JSON.stringify(value)
    const refused = /(\\\\)|\\u(?:0000|d[89a-f][0-9a-f]{2})/gi
    this.#string(text.includes('\\u') ? text.replace(refused, (_, pair?: string) => pair ?? '\\ufffd') : text, 1)
  }

  uuid(value: string | undefined): void {
    this.#reserve(20)
    if (value === undefined) {
      this.#int32(-1)
      return
    }
    this.#int32(16)
    const bytes = this.#bytes
    let end = this.#end
    let wrong = value.length === 36 ? 0 : 255
    for (let at = 0; at < 36; at += 2) {
      if (at === 8 || at === 13 || at === 18 || at === 23) at++
      const high = NIBBLES[value.charCodeAt(at)] ?? 255
      const low = NIBBLES[value.charCodeAt(at + 1)] ?? 255
      wrong |= high | low
      bytes[end++] = (high << 4) | low
    }
    if (wrong > 15) throw new Error(`${value} is no UUID`)
    this.#end = end
  }

  /** All of it; nothing can be added any more. */
  finish(): Buffer {
    this.#reserve(2)
    this.#int16(-1)
    return Buffer.from(this.#bytes.buffer, 0, this.#end)
  }

  /** `version` bytes of 1 go first: that is how `jsonb` is sent. */
  #string(value: string, version: 0 | 1): void {
    // No UTF-16 unit takes more than three bytes.
    this.#reserve(5 + value.length * 3)
    const lengthAt = this.#end
    this.#end += 4
    if (version === 1) this.#bytes[this.#end++] = 1
    if (value.length > SHORT || !this.#ascii(value)) {
      this.#end += encoder.encodeInto(value, this.#bytes.subarray(this.#end)).written
    }
    const end = this.#end
    this.#end = lengthAt
    this.#int32(end - lengthAt - 4)
    this.#end = end
  }

  /** Writes `value` where it is ASCII, or nothing. */
  #ascii(value: string): boolean {
    const bytes = this.#bytes
    const start = this.#end
    for (let at = 0; at < value.length; at++) {
      const code = value.charCodeAt(at)
      if (code > 127) return false
      bytes[start + at] = code
    }
    this.#end = start + value.length
    return true
  }

  #int16(value: number): void {
    this.#bytes[this.#end++] = value >> 8
    this.#bytes[this.#end++] = value
  }

  #int32(value: number): void {
    const bytes = this.#bytes
    const end = this.#end
    bytes[end] = value >> 24
    bytes[end + 1] = value >> 16
    bytes[end + 2] = value >> 8
    bytes[end + 3] = value
    this.#end = end + 4
  }

  #int64(value: number): void {
    const high = Math.floor(value / 0x1_0000_0000)
    this.#int32(high)
    this.#int32(value - high * 0x1_0000_0000)
  }

  #reserve(bytes: number): void {
    const needed = this.#end + bytes
    if (needed <= this.#bytes.length) return
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.#bytes.length))
    larger.set(this.#bytes.subarray(0, this.#end))
    this.#bytes = larger
  }
}

function parseTime(value: string): number {
  const ms = Date.parse(value)
  if (Number.isNaN(ms)) throw new Error(`${value} is no time`)
  return ms
}

/** Text for a parameter, without the NUL that PostgreSQL refuses. */
export const plainText = (value: string): string => (value.includes('\0') ? value.replaceAll('\0', '\ufffd') : value)

/** What the driver's query calls when the server is ready to take rows; its own answer is to refuse. */
type CopyingConnection = Connection & { sendCopyFromChunk(chunk: Buffer): void; endCopyFrom(): void }

class CopyQuery extends Query {
  readonly #rows: Buffer
  constructor(text: string, rows: Buffer, done: (error: Error | null, result: { rowCount: number | null }) => void) {
    super({ text }, undefined, done as never)
    this.#rows = rows
  }
  handleCopyInResponse(connection: CopyingConnection): void {
    connection.sendCopyFromChunk(this.#rows)
    connection.endCopyFrom()
  }
}

/** Adds rows to a table and answers how many. */
export function copyInto(client: ClientBase, table: string, columns: string, rows: Buffer): Promise<number> {
  return new Promise((resolve, reject) => {
    const done = (error: Error | null, result: { rowCount: number | null }): void =>
      error ? reject(error) : resolve(result.rowCount ?? 0)
    client.query(new CopyQuery(`COPY ${table} (${columns}) FROM STDIN (FORMAT binary)`, rows, done))
  })
}
