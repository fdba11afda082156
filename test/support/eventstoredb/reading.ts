// Streams.Read of the test server: streams and everything, both ways, and subscriptions to everything.
import streams from '@eventstore/db-client/generated/streams_pb.js'
import { type ServerWritableStream, status } from '@grpc/grpc-js'
import type { Faults } from './faults.ts'
import {
  caughtUp,
  checkpoint,
  confirmation,
  eventMessage,
  nameOf,
  type Place,
  serviceError,
  streamNotFound,
} from './messages.ts'
import type { Row, ServerLog } from './server-log.ts'

/** Enumerator.cs, ReadBatchSize and MaxLiveEventBufferCount. */
const PAGE = 32
const LIVE_BUFFER = 32

type Call = ServerWritableStream<streams.ReadReq, streams.ReadResp>
type Options = streams.ReadReq.Options

export type Reading = {
  readonly log: ServerLog
  readonly faults: Faults
  /** False as with servers before 23.10, which do not say that a subscription has caught up. */
  readonly saysCaughtUp: boolean
  /** Resolves after the next commit, or when those who wait are woken for another reason. */
  moved(): Promise<void>
  wake(): void
}

export const readCall =
  (reading: Reading) =>
  (call: Call): void => {
    call.on('error', () => {}).on('cancelled', reading.wake)
    const options = call.request.getOptions()!
    const isSubscription = options.hasSubscription()
    const fault = reading.faults.next(isSubscription ? 'subscribe' : 'read')
    if (fault === 'ignore' || fault === 'hang') return
    if (fault === 'deny')
      fail(call, serviceError(status.PERMISSION_DENIED, 'Access Denied', { exception: 'access-denied' }))
    else if (fault === 'busy') fail(call, serviceError(status.UNAVAILABLE, 'Server Is Too Busy'))
    else if (fault === 'lose') fail(call, serviceError(status.UNAVAILABLE, 'Connection dropped'))
    else {
      // What is lost after it was done ends in the middle of what it says.
      const most = fault === 'loseAnswer' ? 5 : Number.POSITIVE_INFINITY
      const work = isSubscription ? subscribed(reading, call, options, most) : read(reading, call, options, most)
      work.then(
        () =>
          most === Number.POSITIVE_INFINITY
            ? call.end()
            : fail(call, serviceError(status.UNAVAILABLE, 'Connection dropped')),
        (error) => fail(call, error),
      )
    }
  }

const fail = (call: Call, error: Error): boolean => call.emit('error', error)

/** False once the caller has gone. */
async function say(call: Call, message: streams.ReadResp): Promise<boolean> {
  if (call.cancelled || call.destroyed) return false
  if (!call.write(message))
    await new Promise<void>((resolve) => {
      const done = () => {
        call.off('drain', done).off('cancelled', done).off('close', done)
        resolve()
      }
      call.on('drain', done).on('cancelled', done).on('close', done)
    })
  return !call.cancelled
}

async function read({ log }: Reading, call: Call, options: Options, most: number): Promise<void> {
  const limit = Math.min(Number(options.getCount()), most)
  const backwards = options.getReadDirection() === streams.ReadReq.Options.ReadDirection.BACKWARDS
  const page = options.hasStream() ? streamPages(log, options, backwards) : allPages(log, options, backwards)
  if (options.hasStream() && log.isMissing(nameOf(options.getStream()?.getStreamIdentifier()))) {
    await say(call, streamNotFound(nameOf(options.getStream()?.getStreamIdentifier())))
    return
  }
  let sent = 0
  for (let rows = page(); rows.length > 0 && sent < limit; rows = page())
    for (const row of rows) if (sent++ >= limit || !(await say(call, eventMessage(row)))) return
}

function streamPages(log: ServerLog, options: Options, backwards: boolean): () => Row[] {
  const place = options.getStream()!
  const name = nameOf(place.getStreamIdentifier())
  let from = place.hasRevision() ? Number(place.getRevision()) : place.hasEnd() ? Number.MAX_SAFE_INTEGER - 1 : 0
  return () => {
    const rows = log.readStream(name, from, backwards, PAGE)
    from = (rows.at(-1)?.revision ?? from) + (backwards ? -1 : 1)
    return rows
  }
}

function allPages(log: ServerLog, options: Options, backwards: boolean): () => Row[] {
  const place = options.getAll()!
  let from = place.hasStart() ? 0 : place.hasEnd() ? log.end : Number(place.getPosition()!.getCommitPosition())
  // What is appended while it is read is not read: otherwise a read in step with a writer would not end.
  const end = log.end
  return () => {
    const rows = log.readAll(from, backwards, PAGE).filter(({ position }) => position < end)
    from = (rows.at(-1)?.position ?? from) + (backwards ? 0 : 1)
    return rows
  }
}

type Filter = { matches(row: Row): boolean; readonly window: number; readonly interval: number }

function filterOf(options: Options): Filter | undefined {
  const filter = options.getFilter()
  if (!filter) return undefined
  const byStream = filter.hasStreamIdentifier()
  const expression = byStream ? filter.getStreamIdentifier()! : filter.getEventType()!
  const pattern = expression.getRegex() === '' ? undefined : new RegExp(expression.getRegex())
  const prefixes = expression.getPrefixList()
  const matches = (row: Row): boolean => {
    const text = byStream ? row.stream : row.type
    return pattern ? pattern.test(text) : prefixes.some((prefix) => text.startsWith(prefix))
  }
  const window = filter.hasMax() ? filter.getMax() : PAGE
  return { matches, window, interval: window * filter.getCheckpointintervalmultiplier() }
}

/** Enumerator.AllSubscriptionFiltered.cs, and without a filter Enumerator.AllSubscription.cs. */
async function subscribed(reading: Reading, call: Call, options: Options, most: number): Promise<void> {
  const { log } = reading
  const filter = filterOf(options)
  const place = options.getAll()!
  const at = place.getPosition()
  let done: Place = at
    ? { commit: Number(at.getCommitPosition()), prepare: Number(at.getPreparePosition()) }
    : place.hasEnd()
      ? { commit: log.end, prepare: 0 }
      : { commit: -1, prepare: -1 }
  let sent = 0
  const number = reading.faults.told.push(0) - 1
  reading.faults.open++
  call.once('close', () => reading.faults.open--)
  if (!(await say(call, confirmation()))) return

  while (sent < most) {
    const reached = await catchUp()
    if (!reached || sent >= most) return
    if (reading.saysCaughtUp && !(await say(call, caughtUp()))) return
    if (!(await live())) return
  }

  async function deliver(row: Row): Promise<boolean> {
    if (!filter || filter.matches(row)) {
      reading.faults.told[number]!++
      if (sent++ >= most || !(await say(call, eventMessage(row)))) return false
    }
    return true
  }

  async function catchUp(): Promise<boolean> {
    let considered = 0
    for (;;) {
      const start = done.prepare < done.commit ? done.commit : done.commit + 1
      const rows = log.readAll(Math.max(start, 0), false, filter?.window ?? PAGE)
      const isEnd = rows.length < (filter?.window ?? PAGE)
      // A page ends behind its last record, where nothing need stand yet; what others append while it is sent lies behind that.
      const end = log.readAll((rows.at(-1)?.position ?? done.commit) + 1, false, 1)[0]?.position ?? log.end
      for (const row of rows) if (!(await deliver(row))) return false
      if (rows.length > 0) done = { commit: end, prepare: 0 }
      considered += rows.length
      if (filter && done.commit >= 0 && (isEnd || considered >= filter.interval)) {
        considered = 0
        if (reading.saysCaughtUp && !(await say(call, checkpoint(done)))) return false
      }
      if (isEnd) return true
    }
  }

  /** Resolves true when it has fallen behind, which 24.10 does not tell the client. */
  async function live(): Promise<boolean> {
    let considered = 0
    for (;;) {
      const start = done.prepare < done.commit ? done.commit : done.commit + 1
      const rows = log.readAll(Math.max(start, 0), false, LIVE_BUFFER + 1)
      if (rows.length > LIVE_BUFFER) return true
      for (const row of rows) {
        if (!(await deliver(row))) return false
        done = { commit: row.position, prepare: row.position }
        if (filter && ++considered >= filter.interval) {
          considered = 0
          if (!(await say(call, checkpoint(done)))) return false
        }
      }
      if (rows.length === 0) await reading.moved()
      if (call.cancelled || call.destroyed) return false
    }
  }
}
