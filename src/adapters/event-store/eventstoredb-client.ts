// The one file that calls the client of EventStoreDB, so that another client would be another file.
import {
  type AllStreamResolvedEvent,
  type EventData,
  EventStoreDBClient,
  type Position,
  type ResolvedEvent,
  streamNameFilter,
} from '@eventstore/db-client'
import { type ExpectedRevision, WrongExpectedRevision } from '../../ports/event-store.ts'
import { toPosition } from './eventstoredb-codec.ts'
import { within } from './eventstoredb-failure.ts'
import { Inlet } from './eventstoredb-inlet.ts'
import type { Streams } from './eventstoredb-streams.ts'

export type Place = 'start' | Position

/** Longer than the deadline that the call itself has, so that the server's own answer comes first. */
const GRACE_MS = 500
/** A subscription's buffer in events. Larger ones save turns of the event loop, and cost memory with large events. */
const BUFFER = 128
/** How many events the server looks at before it says how far it is, where the filter leaves all of them out. */
const SEARCH_WINDOW = 256

type Marks = { checkpoint(place: Position): void; caughtUp(): void; confirmed(): void }

/**
 * Every call needs the leader: a follower may not have yet what a command was just told to be written.
 */
export class Client {
  readonly #client: EventStoreDBClient
  readonly #callMs: number

  /** @throws where the URL is none; the message and the error may repeat all of it */
  constructor(url: string, callMs: number) {
    this.#client = EventStoreDBClient.connectionString(url)
    this.#callMs = callMs
    // Without it the client sends appends through one call that all share. When that breaks under load, or answers after
    // another of its kind broke, the client rejects what nobody waits for, or throws where nobody can catch it, and either ends
    // the process. A call for each append fails alone, and has a deadline that this side keeps, too.
    Object.assign(this.#client, { supports: () => Promise.resolve(false) })
  }

  /** @throws WrongExpectedRevision, or what failureOf explains */
  async append(
    stream: string,
    expected: ExpectedRevision,
    events: EventData[],
  ): Promise<{ revision: number; position: number | undefined }> {
    const expectedRevision = expected === 'noStream' ? 'no_stream' : expected === 'any' ? 'any' : BigInt(expected)
    const options = { expectedRevision, deadline: this.#callMs, requiresLeader: true } as const
    try {
      const { nextExpectedRevision, position } = await this.#within(
        `an append to ${stream}`,
        this.#client.appendToStream(stream, events, options),
      )
      return { revision: Number(nextExpectedRevision), position: position && toPosition(position.commit) }
    } catch (error) {
      if (!isConflict(error)) throw error
      const { actualVersion } = error
      throw new WrongExpectedRevision(
        stream,
        expected,
        actualVersion === 'no_stream' ? 'noStream' : Number(actualVersion),
      )
    }
  }

  readStream(
    stream: string,
    { from, backwards, limit }: { from: number | undefined; backwards: boolean; limit: number },
  ): Inlet<ResolvedEvent> {
    const fromRevision = from === undefined ? (backwards ? 'end' : 'start') : BigInt(from)
    return new Inlet(
      this.#client.readStream(stream, {
        fromRevision,
        direction: backwards ? 'backwards' : 'forwards',
        maxCount: limit,
        requiresLeader: true,
      }),
    )
  }

  /** Forwards from the event at the place itself on, backwards from the one before it. */
  readAll(from: Place | 'end', backwards: boolean, limit: number): Inlet<AllStreamResolvedEvent> {
    return new Inlet(
      this.#client.readAll({
        fromPosition: from,
        direction: backwards ? 'backwards' : 'forwards',
        maxCount: limit,
        requiresLeader: true,
      }),
    )
  }

  /** Follows what comes after the place. `marks` hears what the server says in between, in the order in which it says it. */
  subscribe(from: Place, streams: Streams, marks: Marks): Inlet<AllStreamResolvedEvent> {
    const options = {
      maxSearchWindow: SEARCH_WINDOW,
      checkpointInterval: 1,
      checkpointReached: (_: unknown, place: Position) => marks.checkpoint(place),
    }
    const wanted = filterOf(streams)
    // The client has a signature for each of the two.
    const filter =
      'regex' in wanted ? streamNameFilter({ ...options, ...wanted }) : streamNameFilter({ ...options, ...wanted })
    const source = this.#client.subscribeToAll(
      { fromPosition: from, filter, requiresLeader: true },
      { highWaterMark: BUFFER },
    )
    source.on('confirmation', () => marks.confirmed())
    source.on('caughtUp', () => marks.caughtUp())
    return new Inlet(source)
  }

  /** Hides the events of a stream before this revision. What else is said about the stream stays. */
  async truncateBefore(stream: string, revision: number): Promise<void> {
    await this.truncateFrom(stream, (now) => Math.max(now, revision))
  }

  /** Shows the events of a stream from this revision on, as far as the server has not scavenged them; answers from which it showed them before. */
  async truncateFrom(stream: string, revision: number | ((now: number) => number)): Promise<number> {
    const options = { deadline: this.#callMs, requiresLeader: true }
    const what = `the metadata of ${stream}`
    const { metadata = {} } = await this.#within(what, this.#client.getStreamMetadata(stream, { requiresLeader: true }))
    const now = Number(metadata.truncateBefore ?? 0)
    const truncateBefore = typeof revision === 'number' ? revision : revision(now)
    if (truncateBefore !== now)
      await this.#within(what, this.#client.setStreamMetadata(stream, { ...metadata, truncateBefore }, options))
    return now
  }

  /** Ends every call, and the connection, which the client itself would leave open. */
  async close(): Promise<void> {
    await this.#within('closing', this.#client.dispose()).catch(() => {})
    const { getChannel } = this.#client as unknown as { getChannel(): Promise<{ close(): void }> }
    await this.#within('closing', getChannel()).then(
      (channel) => channel.close(),
      () => {},
    )
  }

  #within<T>(what: string, work: Promise<T>): Promise<T> {
    return within(this.#callMs + GRACE_MS, what, work)
  }
}

/** The server's own streams are never among them. */
function filterOf(streams: Streams): { prefixes: string[] } | { regex: string } {
  if (streams === undefined) return { regex: '^[^$]' }
  return 'allBut' in streams ? { regex: `^(?!${streams.allBut})[^$]` } : { prefixes: [...streams] }
}

const isConflict = (error: unknown): error is { readonly actualVersion: bigint | 'no_stream' } =>
  (error as { type?: string }).type === 'wrong-expected-version'
