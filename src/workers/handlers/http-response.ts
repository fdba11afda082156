import type { Dispatcher } from 'undici'
import type { Json } from '../../domain/message.ts'
import { StageFailure } from '../../ports/handler.ts'
import { parseJsonDocument } from './json-document.ts'

const BODY_LIMIT_BYTES = 1024 * 1024
const HEADER_LIMIT = 1_024

/** What a later stage may need; cookies above all stay out of the log. */
const KEPT_HEADERS = [
  'content-type',
  'content-length',
  'date',
  'etag',
  'last-modified',
  'link',
  'location',
  'retry-after',
]

export type HttpOutput = { status: number; headers: { [name: string]: string }; body: Json }

export async function readResponse({ statusCode, headers, body }: Dispatcher.ResponseData): Promise<HttpOutput> {
  const bytes = await readBody(body)
  const kept = KEPT_HEADERS.flatMap((name) => {
    const value = headers[name]
    return value === undefined ? [] : [[name, [value].flat().join(', ').slice(0, HEADER_LIMIT)] as const]
  })
  const type = [headers['content-type'] ?? ''].flat()[0] ?? ''
  return { status: statusCode, headers: Object.fromEntries(kept), body: decode(bytes, type) }
}

async function readBody(body: AsyncIterable<Buffer>): Promise<Buffer> {
  const pieces: Buffer[] = []
  let size = 0
  for await (const piece of body) {
    size += piece.length
    if (size > BODY_LIMIT_BYTES)
      throw new StageFailure({
        code: 'RESPONSE_TOO_LARGE',
        message: `the response is larger than ${BODY_LIMIT_BYTES} bytes`,
        retryable: false,
      })
    pieces.push(piece)
  }
  return Buffer.concat(pieces)
}

/** A body that says it is JSON and isn't stays text: the request itself has succeeded. */
function decode(bytes: Buffer, contentType: string): Json {
  const text = new TextDecoder().decode(bytes)
  if (/^(application|text)\/([\w.-]+\+)?json\b/i.test(contentType)) {
    try {
      return parseJsonDocument(text)
    } catch {
      return plain(text)
    }
  }
  return plain(text)
}

const plain = (text: string): string => text.replaceAll('\0', '\uFFFD')
