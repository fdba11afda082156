/** JSON as it stands in events, inputs and outputs. */
export type Json = string | number | boolean | null | Json[] | { [key: string]: Json }

/** What a decider says happened. `type` is in the past tense, `data` is plain JSON. */
export type DomainEvent = { readonly type: string; readonly data: object }

/** Who and what caused an event. Ids are UUIDs; `actor` is `<kind>:<name>`, such as `user:ada` or `system:timekeeper`. */
export type Metadata = {
  readonly namespace: string
  readonly correlationId: string
  /** Id of the event that made something issue the command; absent when a person did. */
  readonly causationId?: string
  readonly commandId: string
  readonly actor: string
  /** W3C `traceparent` of the request that led here. */
  readonly traceparent?: string
  /** Of a command that somebody sent: its name, the address it came from, and why, where that was said. */
  readonly command?: string
  readonly source?: string
  readonly reason?: string
}

/** An event on its way into the log. `at` is ISO 8601 in UTC; `version` is the schema version of `data`. */
export type NewEvent<E extends DomainEvent = DomainEvent> = {
  readonly id: string
  readonly type: E['type']
  readonly version: number
  readonly at: string
  readonly data: E['data']
  readonly metadata: Metadata
}

/** An event as the log holds it. `revision` counts from 0 in its stream; `position` grows strictly over the whole log. */
export type RecordedEvent<E extends DomainEvent = DomainEvent> = E extends DomainEvent
  ? {
      readonly id: string
      readonly type: E['type']
      readonly version: number
      readonly stream: string
      readonly revision: number
      readonly position: number
      readonly at: string
      readonly data: E['data']
      readonly metadata: Metadata
    }
  : never

/** The three members of every aggregate. All three are pure: time, ids and seeds come in with the command. */
export type Decider<S, C, E extends DomainEvent> = {
  readonly initialState: S
  /** Folds one event; never judges. */
  evolve(state: S, event: E): S
  /** Returns what happens, or throws `Rejected`; an exact repeat returns nothing. */
  decide(command: C, state: S): readonly E[]
  /** True once nothing more can happen, so that nobody needs to keep the state in memory. */
  isTerminal?(state: S): boolean
  /** True for an event that says by itself what the state is after it: nothing before it in the stream need be read. */
  isBase?(event: E): boolean
}

/** Splits `category-id` at its first hyphen; a category has none. */
export function parseStream(stream: string): { category: string; id: string } {
  const hyphen = stream.indexOf('-')
  return { category: stream.slice(0, hyphen), id: stream.slice(hyphen + 1) }
}
