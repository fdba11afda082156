import { StringDecoder } from 'node:string_decoder'

const LINE_LIMIT = 64 * 1024

/**
 * Cuts a stream of bytes into lines of at most 64 Ki characters; longer ones come in pieces, so that a program that
 * never ends its line can't fill the memory. Bytes that aren't UTF-8 become U+FFFD.
 */
export class LineCutter {
  readonly #decoder = new StringDecoder('utf8')
  readonly #emit: (line: string) => void
  #partial = ''

  constructor(emit: (line: string) => void) {
    this.#emit = emit
  }

  push(bytes: Buffer): void {
    this.#take(this.#decoder.write(bytes))
  }

  /** Gives out the last line when it had no line feed. */
  end(): void {
    this.#take(this.#decoder.end())
    if (this.#partial !== '') this.#emitLine(this.#partial)
    this.#partial = ''
  }

  #take(text: string): void {
    let start = 0
    for (let feed = text.indexOf('\n'); feed !== -1; feed = text.indexOf('\n', start)) {
      this.#partial += text.slice(start, feed)
      this.#emitPieces()
      this.#emitLine(this.#partial)
      this.#partial = ''
      start = feed + 1
    }
    this.#partial += text.slice(start)
    this.#emitPieces()
  }

  #emitPieces(): void {
    while (this.#partial.length > LINE_LIMIT) {
      const end = isHighSurrogate(this.#partial.charCodeAt(LINE_LIMIT - 1)) ? LINE_LIMIT - 1 : LINE_LIMIT
      this.#emit(this.#partial.slice(0, end))
      this.#partial = this.#partial.slice(end)
    }
  }

  #emitLine(line: string): void {
    this.#emit(line.endsWith('\r') ? line.slice(0, -1) : line)
  }
}

const isHighSurrogate = (unit: number): boolean => unit >= 0xd800 && unit <= 0xdbff
