// Streams.Append, BatchAppend, Delete and Tombstone of the test server.
import shared from '@eventstore/db-client/generated/shared_pb.js'
import streams from '@eventstore/db-client/generated/streams_pb.js'
import {
  type handleUnaryCall,
  type ServerDuplexStream,
  type ServerReadableStream,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js'
import type { Faults } from './faults.ts'
import {
  appendAnswer,
  batchAnswer,
  batchTooLarge,
  nameOf,
  proposedOf,
  serviceError,
  sizeOnDisk,
  tooLarge,
} from './messages.ts'
import type { AppendRequest, Expected, Outcome, Proposed, ServerLog } from './server-log.ts'

/** What 24.10 takes at once, unless its settings say otherwise. */
const MAX_APPEND_SIZE = 1_048_576

export type Writing = {
  readonly log: ServerLog
  readonly faults: Faults
  /** Called after each commit. */
  committed(): void
}

/** Collects what comes in one turn of the event loop, so that it shares one fsync. */
export class Writer {
  readonly #writing: Writing
  #waiting: { request: AppendRequest; done(outcome: Outcome): void }[] = []

  constructor(writing: Writing) {
    this.#writing = writing
  }

  append(request: AppendRequest): Promise<Outcome> {
    return new Promise((done) => {
      if (this.#waiting.push({ request, done }) === 1) setImmediate(() => this.#commit())
    })
  }

  #commit(): void {
    const together = this.#waiting
    this.#waiting = []
    const outcomes = this.#writing.log.appendAll(together.map(({ request }) => request))
    together.forEach(({ done }, i) => {
      done(outcomes[i]!)
    })
    this.#writing.committed()
  }
}

export const appendCall =
  (writer: Writer, faults: Faults) =>
  (
    call: ServerReadableStream<streams.AppendReq, streams.AppendResp>,
    answer: sendUnaryData<streams.AppendResp>,
  ): void => {
    let stream = ''
    let expected: Expected = 'any'
    const events: Proposed[] = []
    call.on('data', (message: streams.AppendReq) => {
      const options = message.getOptions()
      if (options) {
        stream = nameOf(options.getStreamIdentifier())
        expected = expectedOf(options, () => Number(options.getRevision()))
      } else events.push(proposedOf(message.getProposedMessage()!))
    })
    call.on('error', () => {})
    call.on('end', () => void appended())

    async function appended(): Promise<void> {
      // Of a client that died in the middle of it nothing is written.
      if (call.cancelled || events.length === 0) return
      if (events.reduce((size, event) => size + sizeOnDisk(event), 0) > MAX_APPEND_SIZE)
        return answer(tooLarge(MAX_APPEND_SIZE))
      const fault = faults.next('append')
      if (fault === 'ignore') return
      if (fault === 'lose') return answer(serviceError(status.UNAVAILABLE, 'Connection dropped'))
      if (fault === 'busy') return answer(serviceError(status.UNAVAILABLE, 'Server Is Too Busy'))
      if (fault === 'deny')
        return answer(serviceError(status.PERMISSION_DENIED, 'Access Denied', { exception: 'access-denied' }))
      if (fault === 'conflict')
        return answer(null, appendAnswer({ kind: 'wrongExpectedVersion', current: 7 }, expected))
      const outcome = await writer.append({ stream, expected, events })
      if (fault === 'hang') return
      if (fault === 'loseAnswer') return answer(serviceError(status.UNAVAILABLE, 'Connection dropped'))
      if (fault === 'late') await new Promise((resolve) => setTimeout(resolve, faults.lateMs))
      try {
        answer(null, appendAnswer(outcome, expected, faults.hidesPlaceOfRepeats))
      } catch (error) {
        answer(error as Error)
      }
    }
  }

type Half = { readonly stream: string; readonly expected: Expected; readonly events: Proposed[] }

export const batchAppendCall =
  (writer: Writer) =>
  (call: ServerDuplexStream<streams.BatchAppendReq, streams.BatchAppendResp>): void => {
    const halves = new Map<string, Half>()
    call.on('data', (message: streams.BatchAppendReq) => void received(message))
    call.on('error', () => {})
    call.on('end', () => call.end())

    async function received(message: streams.BatchAppendReq): Promise<void> {
      const correlation = message.getCorrelationId()!
      const options = message.getOptions()
      if (options)
        halves.set(correlation.getString(), {
          stream: nameOf(options.getStreamIdentifier()),
          expected: expectedOf(options, () => Number(options.getStreamPosition())),
          events: [],
        })
      const half = halves.get(correlation.getString())
      if (!half) return
      half.events.push(...message.getProposedMessagesList().map(proposedOf))
      if (!message.getIsFinal()) return
      halves.delete(correlation.getString())
      const { stream, expected, events } = half
      const isTooLarge = events.reduce((size, event) => size + sizeOnDisk(event), 0) > MAX_APPEND_SIZE
      const answer = isTooLarge
        ? batchTooLarge(MAX_APPEND_SIZE)
        : batchAnswer(await writer.append({ stream, expected, events }), expected)
      const identifier = new shared.StreamIdentifier().setStreamName(new TextEncoder().encode(stream))
      call.write(answer.setCorrelationId(correlation).setStreamIdentifier(identifier))
    }
  }

export const deleteCall =
  ({ log, committed }: Writing): handleUnaryCall<streams.DeleteReq, streams.DeleteResp> =>
  ({ request }, answer) => {
    log.softDelete(nameOf(request.getOptions()?.getStreamIdentifier()))
    committed()
    answer(null, new streams.DeleteResp().setNoPosition(new shared.Empty()))
  }

export const tombstoneCall =
  ({ log, committed }: Writing): handleUnaryCall<streams.TombstoneReq, streams.TombstoneResp> =>
  ({ request }, answer) => {
    const position = String(log.tombstone(nameOf(request.getOptions()?.getStreamIdentifier())))
    committed()
    const place = new streams.TombstoneResp.Position().setCommitPosition(position).setPreparePosition(position)
    answer(null, new streams.TombstoneResp().setPosition(place))
  }

type Options = { hasNoStream(): boolean; hasAny(): boolean; hasStreamExists(): boolean }

function expectedOf(options: Options, exact: () => number): Expected {
  if (options.hasNoStream()) return 'noStream'
  if (options.hasAny()) return 'any'
  return options.hasStreamExists() ? 'streamExists' : exact()
}
