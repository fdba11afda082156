// Answers as long as they are: read page by page as the client takes them, so that memory stays bounded.
import { Readable } from 'node:stream'
import type { FastifyReply } from 'fastify'
import type { RecordedEvent } from '../domain/message.ts'
import type { LogLine } from '../ports/stage-logs.ts'
import type { History } from '../queries/history.ts'
import { toEvent } from './answers.ts'
import { found } from './route.ts'

export const NDJSON = 'application/x-ndjson'
export const PLAIN_TEXT = 'text/plain'
const PAGE = 1_000

type Read<T> = (place: number, count: number) => Promise<readonly T[]>

/** Every event of a run from revision `from` on, one a line. The first page is read before the answer begins, so that its errors are answers. */
export async function streamHistory(
  reply: FastifyReply,
  history: History,
  { namespace, id, from, limit }: { namespace: string; id: string; from: number; limit: number | undefined },
): Promise<Readable> {
  const read: Read<RecordedEvent> = async (place, count) =>
    found(await history.events(namespace, id, place, count), 'EXECUTION_UNKNOWN', `execution ${id}`)
  reply.type(NDJSON)
  return stream(read, (event) => `${JSON.stringify(toEvent(event))}\n`, { from, limit })
}

/** The lines of an attempt after line `after`, their text alone. */
export function streamLogs(
  reply: FastifyReply,
  read: Read<LogLine>,
  { after, limit }: { after: number; limit: number | undefined },
): Promise<Readable> {
  reply.type(`${PLAIN_TEXT}; charset=utf-8`)
  return stream(read, ({ text }) => `${text}\n`, { from: after, limit })
}

/** @param read takes a place that grows by one an item */
async function stream<T>(
  read: Read<T>,
  write: (item: T) => string,
  { from, limit = Number.POSITIVE_INFINITY }: { from: number; limit: number | undefined },
): Promise<Readable> {
  const first = await read(from, Math.min(PAGE, limit))
  async function* pages() {
    let items = first
    let place = from
    let left = limit
    while (items.length > 0) {
      yield items.map(write).join('')
      place += items.length
      left -= items.length
      if (left <= 0 || items.length < PAGE) return
      items = await read(place, Math.min(PAGE, left))
    }
  }
  return Readable.from(pages(), { objectMode: false })
}
