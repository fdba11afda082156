import type { Decider, DomainEvent, Metadata, NewEvent, RecordedEvent } from '../domain/message.ts'
import { Rejected } from '../domain/rejected.ts'
import { upcast, versionOf } from '../domain/upcast.ts'
import { AppendTooLarge, type EventStore, StoreUnavailable, WrongExpectedRevision } from '../ports/event-store.ts'
import { newId } from './new-id.ts'
import { RecentlyUsed } from './recently-used.ts'

/** Who asks, when (ISO 8601), and what for: it becomes the metadata of the events. */
export type Context = Omit<Metadata, 'commandId'> & { readonly commandId?: string; readonly at: string }

/** Where the stream stands after the command, and what the command added: nothing for an exact repeat. */
type Handled<E> = { readonly revision: number; readonly position: number; readonly events: readonly E[] }

export type Handle = {
  /**
   * Loads, decides, appends; on a conflict loads and decides again. Resolves when the events are durable.
   * @throws Rejected when the decider refuses; StoreUnavailable when the outcome stayed unknown
   */
  <S, C, E extends DomainEvent>(
    decider: Decider<S, C, E>,
    stream: string,
    command: C,
    context: Context,
  ): Promise<Handled<E>>
  /** The state as the log has it now, and the revision and position it stands at; revision -1 where there is no stream. */
  load<S, C, E extends DomainEvent>(
    decider: Decider<S, C, E>,
    stream: string,
  ): Promise<{ readonly state: S; readonly revision: number; readonly position: number }>
}

type Answer = Handled<DomainEvent> & { readonly state: unknown }

type Asked = {
  readonly command: unknown
  readonly context: Context
  readonly commandId: string
  resolve(answer: Answer): void
  reject(error: unknown): void
}

/** An aggregate in memory, and the commands that wait for it. Only one append of a stream is under way at a time. */
type Mailbox = {
  readonly stream: string
  readonly decider: Decider<unknown, unknown, DomainEvent>
  state: unknown
  /** Revision and position of the last event folded into `state`; -1 before the first. */
  revision: number
  position: number
  waiting: Asked[]
  busy: boolean
}

type Decision = { readonly asked: Asked; readonly events: readonly DomainEvent[]; readonly rejection?: unknown }

const READ = Symbol('read')
const NOBODY: Context = { namespace: '', correlationId: '', actor: '', at: '' }

const MAX_CONFLICTS = 20
const MAX_UNAVAILABLE = 5
/** How many commands of one stream may share an append. */
const MAX_TOGETHER = 256

/** @param options.aggregates about how many are kept in memory; those that were not used lately and are idle go first */
export function createHandle(store: EventStore, options: { aggregates: number } = { aggregates: 20_000 }): Handle {
  const mailboxes = new RecentlyUsed<Mailbox>(options.aggregates, ({ busy }) => busy)

  function mailboxOf(decider: Decider<never, never, never>, stream: string): Mailbox {
    const known = mailboxes.get(stream)
    if (known) return known
    const mailbox: Mailbox = {
      stream,
      decider: decider as unknown as Decider<unknown, unknown, DomainEvent>,
      state: decider.initialState,
      revision: -1,
      position: -1,
      waiting: [],
      busy: false,
    }
    mailboxes.set(stream, mailbox)
    return mailbox
  }

  const handle = (decider: Decider<never, never, never>, stream: string, command: unknown, context: Context) =>
    new Promise((resolve, reject) => {
      const mailbox = mailboxOf(decider, stream)
      mailbox.waiting.push({ command, context, commandId: context.commandId ?? newId(), resolve, reject })
      if (!mailbox.busy) void drain(store, mailbox).then(() => leave(mailbox))
    })

  function leave({ stream, decider, state, busy }: Mailbox): void {
    if (!busy && decider.isTerminal?.(state)) mailboxes.delete(stream)
  }

  // A read waits its turn like a command and adds nothing, so it is answered from the log as it is.
  const load = async (decider: Decider<never, never, never>, stream: string) => {
    const { revision, position, state } = (await handle(decider, stream, READ, NOBODY)) as Answer
    return { state, revision, position }
  }

  return Object.assign(handle, { load }) as unknown as Handle
}

/** Answers everything that waits; never rejects, since each command carries its own answer. */
async function drain(store: EventStore, mailbox: Mailbox): Promise<void> {
  mailbox.busy = true
  while (mailbox.waiting.length > 0) {
    const batch = mailbox.waiting.splice(0, MAX_TOGETHER)
    try {
      await settle(store, mailbox, batch)
    } catch (error) {
      forget(mailbox)
      if (error instanceof AppendTooLarge && batch.length > 1) {
        // Each by itself may fit, and what does not fit is then refused alone.
        for (const asked of batch) await settle(store, mailbox, [asked]).catch((failure) => refuse(asked, failure))
      } else for (const asked of batch) refuse(asked, error)
    }
  }
  mailbox.busy = false
}

function refuse(asked: Asked, error: unknown): void {
  asked.reject(error instanceof AppendTooLarge ? new Rejected('EVENT_TOO_LARGE', error.message) : error)
}

async function settle(store: EventStore, mailbox: Mailbox, batch: readonly Asked[]): Promise<void> {
  // What is in memory, or the guess that there is no such stream, will do as long as it leads to an append: the
  // expected revision guards it.
  let fresh = false
  for (let conflicts = 0; conflicts <= MAX_CONFLICTS; conflicts++) {
    let { state, decisions } = decideAll(mailbox, batch)
    if (!fresh && decisions.some(({ events }) => events.length === 0)) {
      fresh = await refresh(store, mailbox)
      ;({ state, decisions } = decideAll(mailbox, batch))
    }
    if (await append(store, mailbox, decisions)) {
      mailbox.state = state
      answer(mailbox, decisions)
      return
    }
    forget(mailbox)
    fresh = await refresh(store, mailbox)
  }
  throw new StoreUnavailable(`${mailbox.stream} was changed by others ${MAX_CONFLICTS} times over; try again`, true)
}

function decideAll(mailbox: Mailbox, batch: readonly Asked[]): { state: unknown; decisions: Decision[] } {
  const { decider } = mailbox
  let { state } = mailbox
  const decisions = batch.map((asked): Decision => {
    try {
      const events = asked.command === READ ? [] : decider.decide(asked.command, state)
      for (const event of events) state = decider.evolve(state, event)
      return { asked, events }
    } catch (rejection) {
      return { asked, events: [], rejection }
    }
  })
  return { state, decisions }
}

/** False on a conflict. After an outcome that is unknown the same events are appended again, which is safe. */
async function append(store: EventStore, mailbox: Mailbox, decisions: readonly Decision[]): Promise<boolean> {
  const events = decisions.flatMap(stamp)
  if (events.length === 0) return true
  const expected = mailbox.revision === -1 ? 'noStream' : mailbox.revision
  let maybeWritten = false
  for (let tries = 1; ; tries++) {
    try {
      const { revision, position } = await store.append(mailbox.stream, expected, events)
      mailbox.revision = revision
      mailbox.position = position
      return true
    } catch (error) {
      if (error instanceof WrongExpectedRevision) return false
      if (!(error instanceof StoreUnavailable)) throw error
      maybeWritten ||= !error.nothingWritten
      // What the last try did not write an earlier one may have written.
      if (tries >= MAX_UNAVAILABLE) throw new StoreUnavailable(error.message, !maybeWritten, error)
    }
  }
}

function stamp({ asked, events }: Decision): NewEvent[] {
  if (events.length === 0) return []
  const { at, ...rest } = asked.context
  const metadata: Metadata = { ...rest, commandId: asked.commandId }
  return events.map(({ type, data }) => ({ id: newId(), type, version: versionOf(type), at, data, metadata }))
}

function answer(mailbox: Mailbox, decisions: readonly Decision[]): void {
  const { state, revision, position } = mailbox
  for (const { asked, events, rejection } of decisions) {
    if (rejection === undefined) asked.resolve({ state, revision, position, events })
    else asked.reject(rejection)
  }
}

/** Folds what the log has beyond what is in memory. */
async function refresh(store: EventStore, mailbox: Mailbox): Promise<true> {
  if (mailbox.revision === -1 && mailbox.decider.isBase) {
    await foldFromBase(store, mailbox, mailbox.decider.isBase)
    return true
  }
  for await (const events of store.readStream(mailbox.stream, { from: mailbox.revision + 1 })) {
    for (const event of events as readonly RecordedEvent[]) {
      mailbox.state = mailbox.decider.evolve(mailbox.state, upcast(event))
      mailbox.revision = event.revision
      mailbox.position = event.position
    }
  }
  return true
}

/** Reads backwards, up to the first event that says by itself what the state is, and folds from there on. */
async function foldFromBase(
  store: EventStore,
  mailbox: Mailbox,
  isBase: (event: DomainEvent) => boolean,
): Promise<void> {
  const newest: RecordedEvent[] = []
  read: for await (const events of store.readStream(mailbox.stream, { direction: 'backwards' })) {
    for (const event of events) {
      newest.push(upcast(event))
      if (isBase(newest.at(-1)!)) break read
    }
  }
  for (const event of newest.reverse()) {
    mailbox.state = mailbox.decider.evolve(mailbox.state, event)
    mailbox.revision = event.revision
    mailbox.position = event.position
  }
}

function forget(mailbox: Mailbox): void {
  mailbox.state = mailbox.decider.initialState
  mailbox.revision = -1
  mailbox.position = -1
}
