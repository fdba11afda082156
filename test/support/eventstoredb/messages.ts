// What the test server says, as the package's generated definitions have it.
import shared from '@eventstore/db-client/generated/shared_pb.js'
import rpcStatus from '@eventstore/db-client/generated/status_pb.js'
import streams from '@eventstore/db-client/generated/streams_pb.js'
import { Metadata, type ServiceError, status } from '@grpc/grpc-js'
import any from 'google-protobuf/google/protobuf/any_pb.js'
import empty from 'google-protobuf/google/protobuf/empty_pb.js'
import type { Expected, Outcome, Proposed, Row } from './server-log.ts'

/** .NET counts 100 nanoseconds. */
const TICKS_PER_MS = 10_000n

const identifierOf = (stream: string): shared.StreamIdentifier =>
  new shared.StreamIdentifier().setStreamName(new TextEncoder().encode(stream))

export const nameOf = (identifier: shared.StreamIdentifier | undefined): string =>
  new TextDecoder().decode(identifier?.getStreamName_asU8())

export function eventMessage(row: Row): streams.ReadResp {
  const position = String(row.position)
  const event = new streams.ReadResp.ReadEvent.RecordedEvent()
    .setId(new shared.UUID().setString(row.id))
    .setStreamIdentifier(identifierOf(row.stream))
    .setStreamRevision(String(row.revision))
    .setPreparePosition(position)
    .setCommitPosition(position)
    .setData(row.data)
    .setCustomMetadata(row.metadata)
  event
    .getMetadataMap()
    .set('type', row.type)
    .set('created', String(BigInt(row.created) * TICKS_PER_MS))
    .set('content-type', row.json === 1 ? 'application/json' : 'application/octet-stream')
  return new streams.ReadResp().setEvent(new streams.ReadResp.ReadEvent().setEvent(event).setCommitPosition(position))
}

export const confirmation = (): streams.ReadResp =>
  new streams.ReadResp().setConfirmation(
    new streams.ReadResp.SubscriptionConfirmation().setSubscriptionId(crypto.randomUUID()),
  )

export const caughtUp = (): streams.ReadResp => new streams.ReadResp().setCaughtUp(new streams.ReadResp.CaughtUp())

export const streamNotFound = (stream: string): streams.ReadResp =>
  new streams.ReadResp().setStreamNotFound(
    new streams.ReadResp.StreamNotFound().setStreamIdentifier(identifierOf(stream)),
  )

/** A place in the log; `prepare` is smaller than `commit` where no event stands at it, as at the end of a page. */
export type Place = { readonly commit: number; readonly prepare: number }

export const checkpoint = ({ commit, prepare }: Place): streams.ReadResp =>
  new streams.ReadResp().setCheckpoint(
    new streams.ReadResp.Checkpoint().setCommitPosition(String(commit)).setPreparePosition(String(prepare)),
  )

type ProposedMessage = streams.AppendReq.ProposedMessage | streams.BatchAppendReq.ProposedMessage

export function proposedOf(message: ProposedMessage): Proposed {
  const about = message.getMetadataMap()
  return {
    id: message.getId()?.getString() ?? '',
    type: about.get('type') ?? '',
    json: about.get('content-type') === 'application/json',
    data: message.getData_asU8(),
    metadata: message.getCustomMetadata_asU8(),
  }
}

/** As Event.SizeOnDisk has it. */
export const sizeOnDisk = ({ type, data, metadata }: Proposed): number =>
  type.length * 2 + data.length + metadata.length

export function appendAnswer(outcome: Outcome, expected: Expected, hidesPlaceOfRepeats = false): streams.AppendResp {
  const answer = new streams.AppendResp()
  if (outcome.kind === 'success') {
    const position = new streams.AppendResp.Position()
      .setCommitPosition(String(outcome.position))
      .setPreparePosition(String(outcome.position))
    const success = new streams.AppendResp.Success().setCurrentRevision(String(outcome.revision))
    if (hidesPlaceOfRepeats && outcome.isRepeat) success.setNoPosition(new shared.Empty())
    else success.setPosition(position)
    return answer.setSuccess(success)
  }
  if (outcome.kind === 'streamDeleted') throw serviceError(status.FAILED_PRECONDITION, 'the stream is deleted')
  const wrong = new streams.AppendResp.WrongExpectedVersion()
  if (outcome.current < 0) wrong.setCurrentNoStream(new shared.Empty())
  else wrong.setCurrentRevision(String(outcome.current))
  if (typeof expected === 'number') wrong.setExpectedRevision(String(expected))
  else if (expected === 'noStream') wrong.setExpectedNoStream(new shared.Empty())
  else if (expected === 'streamExists') wrong.setExpectedStreamExists(new shared.Empty())
  else wrong.setExpectedAny(new shared.Empty())
  return answer.setWrongExpectedVersion(wrong)
}

export function batchAnswer(outcome: Outcome, expected: Expected): streams.BatchAppendResp {
  const answer = new streams.BatchAppendResp()
  if (outcome.kind === 'success') {
    const position = new shared.AllStreamPosition()
      .setCommitPosition(String(outcome.position))
      .setPreparePosition(String(outcome.position))
    return answer.setSuccess(
      new streams.BatchAppendResp.Success().setCurrentRevision(String(outcome.revision)).setPosition(position),
    )
  }
  if (outcome.kind === 'streamDeleted') return answer.setError(packed(9, 'StreamDeleted', new shared.StreamDeleted()))
  const wrong = new shared.WrongExpectedVersion()
  if (outcome.current < 0) wrong.setCurrentNoStream(new empty.Empty())
  else wrong.setCurrentStreamRevision(String(outcome.current))
  if (typeof expected === 'number') wrong.setExpectedStreamPosition(String(expected))
  else if (expected === 'noStream') wrong.setExpectedNoStream(new empty.Empty())
  else if (expected === 'streamExists') wrong.setExpectedStreamExists(new empty.Empty())
  else wrong.setExpectedAny(new empty.Empty())
  return answer.setError(packed(6, 'WrongExpectedVersion', wrong))
}

export const batchTooLarge = (limit: number): streams.BatchAppendResp =>
  new streams.BatchAppendResp().setError(
    packed(3, 'MaximumAppendSizeExceeded', new shared.MaximumAppendSizeExceeded().setMaxappendsize(limit)),
  )

/** Status.cs packs what went wrong as google.protobuf.Any. */
function packed(code: number, name: string, message: { serializeBinary(): Uint8Array }): rpcStatus.Status {
  const details = new any.Any()
  details.pack(message.serializeBinary(), `event_store.client.${name}`)
  return new rpcStatus.Status().setCode(code).setMessage(name).setDetails(details)
}

/** RpcExceptions.cs: what kind of error it is stands in the trailers. */
export function serviceError(
  code: status,
  details: string,
  trailers: Readonly<Record<string, string>> = {},
): ServiceError {
  const metadata = new Metadata()
  for (const [name, value] of Object.entries(trailers)) metadata.set(name, value)
  return Object.assign(new Error(details), { code, details, metadata })
}

export const tooLarge = (limit: number): ServiceError =>
  serviceError(status.INVALID_ARGUMENT, `Maximum Append Size of ${limit} Exceeded.`, {
    exception: 'maximum-append-size-exceeded',
    'maximum-append-size': String(limit),
  })
