// A log in an array, for what follows it: as much of the event store as a projector sees.
import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { DomainEvent, RecordedEvent } from '../../src/domain/message.ts'
import { versionOf } from '../../src/domain/upcast.ts'
import type { Batch, EventStore } from '../../src/ports/event-store.ts'

export type RecordedLog = Pick<EventStore, 'subscribe' | 'head' | 'readAll' | 'readStream'> & {
  readonly events: readonly RecordedEvent[]
  /** Appends to a stream. Options replace members of the last event recorded. */
  record(
    stream: string,
    events: readonly DomainEvent[],
    options?: { at?: string; version?: number; namespace?: string },
  ): number
}

const START_MS = Date.parse('2026-01-01T00:00:00Z')

export function recordedLog(options: { batchOf?: () => number } = {}): RecordedLog {
  const events: RecordedEvent[] = []
  const revisions = new Map<string, number>()
  const listeners = new Set<() => void>()

  const record: RecordedLog['record'] = (stream, additions, { at, version, namespace = 'default' } = {}) => {
    for (const { type, data } of additions) {
      const revision = (revisions.get(stream) ?? -1) + 1
      revisions.set(stream, revision)
      const position = events.length
      const time = at ?? new Date(START_MS + position * 10).toISOString()
      const metadata = { namespace, correlationId: randomUUID(), commandId: randomUUID(), actor: 'user:ada' }
      const event = {
        id: randomUUID(),
        type,
        version: version ?? versionOf(type),
        stream,
        revision,
        position,
        at: time,
        data,
        metadata,
      }
      events.push(event as RecordedEvent)
    }
    for (const listener of listeners) listener()
    return events.length - 1
  }

  async function* subscribe({ after, prefixes, batchSize = 1_000, signal }: Parameters<EventStore['subscribe']>[0]) {
    for (let next = after + 1; !signal.aborted; ) {
      const size = Math.min(batchSize, options.batchOf?.() ?? batchSize)
      const read = events.slice(next, next + size)
      next += read.length
      const kept = prefixes ? read.filter(({ stream }) => prefixes.some((prefix) => stream.startsWith(prefix))) : read
      yield { events: kept, position: next - 1, caughtUp: next === events.length } satisfies Batch
      if (next === events.length) await changed(signal, () => next < events.length)
    }
  }

  async function* readAll({ after = -1, prefixes = [''] }: Parameters<EventStore['readAll']>[0] = {}) {
    for (let next = after + 1; next < events.length; next += 1_000) {
      const kept = events
        .slice(next, next + 1_000)
        .filter(({ stream }) => prefixes.some((prefix) => stream.startsWith(prefix)))
      if (kept.length > 0) yield kept
    }
  }

  async function* readStream(stream: string) {
    const own = events.filter((event) => event.stream === stream)
    if (own.length > 0) yield own
  }

  function changed(signal: AbortSignal, ready: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const check = (): void => {
        if (!ready() && !signal.aborted) return
        listeners.delete(check)
        resolve()
      }
      listeners.add(check)
      signal.addEventListener('abort', check, { once: true })
      check()
    })
  }

  return { events, record, subscribe, readAll, readStream, head: async () => events.length - 1 }
}

/** Awaits a condition; the deadline is for a test that fails, and says what was waited for. */
export async function until<T>(
  what: string,
  look: () => Promise<T | false | undefined>,
  withinMs = 20_000,
): Promise<T> {
  for (const deadline = Date.now() + withinMs; ; await delay(5)) {
    const found = await look()
    if (found) return found
    if (Date.now() > deadline) throw new Error(`waited ${withinMs} ms for ${what}`)
  }
}
