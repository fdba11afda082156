import { Readable } from 'node:stream'
import { z } from 'zod'
import type { App } from '../../app.ts'
import {
  auditKeySchema,
  auditSchema,
  checkpointSchema,
  checkpointText,
  headText,
  lineText,
  replaySchema,
  toAudit,
  toReplay,
} from '../audit-answers.ts'
import { awaitPosition } from '../freshness.ts'
import { auditExportQuery, auditQuery, replayQuery } from '../history-parameters.ts'
import { executionParams, freshQuery, namespaceParams } from '../parameters.ts'
import { RequestProblem } from '../problems.ts'
import { found, pageOf, route } from '../route.ts'
import { NDJSON } from '../streams.ts'

const tag = 'Audit'
/** Events may be large. */
const PAGE = 200
const NAMES = ['events'] as const

export function auditRoutes({ queries, replay, signer, clock }: App) {
  return {
    list: route(
      {
        tag,
        summary: 'Who asked for what, when, from where and why, and what came of it',
        description:
          'Every command, the newest first: those that people sent, accepted or refused, and those of workers and of the program itself. What could not be read as a command is not among them.',
        params: namespaceParams,
        query: auditQuery,
        answers: { 200: auditSchema },
      },
      async ({ params, query }) => {
        await awaitPosition(queries, query, NAMES)
        const { actor, command, outcome, from, to } = query
        const given = Object.entries({ actor, command, outcome, from, to }).filter(([, value]) => value !== undefined)
        const { items, nextCursor } = await queries.audit.list(
          params.namespace,
          Object.fromEntries(given),
          pageOf(query),
        )
        return { items: items.map(toAudit), nextCursor }
      },
    ),

    exported: route(
      {
        tag,
        summary: 'The chain of a namespace, for whoever verifies it elsewhere',
        description:
          'Lines of JSON: what it is, every record with its hash, and a signed checkpoint. `millrace audit verify` checks it without this server.',
        params: namespaceParams,
        query: auditExportQuery,
        answers: { 200: z.string() },
        produces: NDJSON,
        errors: [404],
      },
      async ({ params: { namespace }, query, reply }) => {
        await awaitPosition(queries, query, NAMES)
        const end = await queries.audit.end(namespace)
        const { from = end.removedTo + 1 } = query
        if (from <= end.removedTo)
          throw new RequestProblem(
            'SEQUENCE_UNKNOWN',
            `retention has removed the records of ${namespace} up to sequence ${end.removedTo}; ask for those from ${end.removedTo + 1} on`,
          )
        const previous = await queries.audit.linkAt(namespace, from - 1)
        if (previous === undefined)
          throw new RequestProblem('SEQUENCE_UNKNOWN', `the chain of ${namespace} does not reach sequence ${from - 1}`)
        const last = checkpointText(namespace, from, end, clock.now(), signer)
        async function* lines() {
          yield `${headText(namespace, from, previous!)}\n`
          for (let next = from; next <= end.sequence; ) {
            const some = await queries.audit.lines(namespace, next, Math.min(PAGE, end.sequence - next + 1))
            // Where a clean-up came between, what was promised cannot be kept: the answer breaks off.
            if (some[0]?.sequence !== next) throw new Error(`the chain of ${namespace} has nothing at ${next} any more`)
            yield some.map((line) => `${lineText(line)}\n`).join('')
            next += some.length
          }
          yield `${last}\n`
        }
        reply.type(NDJSON)
        return Readable.from(lines(), { objectMode: false })
      },
    ),

    checkpoint: route(
      {
        tag,
        summary: 'Where the chain of a namespace ends, signed',
        description: 'Kept elsewhere, it shows later that nothing before it was changed, and nothing cut.',
        params: namespaceParams,
        query: freshQuery,
        answers: { 200: checkpointSchema },
      },
      async ({ params: { namespace }, query }) => {
        await awaitPosition(queries, query, NAMES)
        const end = await queries.audit.end(namespace)
        return JSON.parse(checkpointText(namespace, 1, end, clock.now(), signer))
      },
    ),

    key: route(
      { tag, summary: 'The public key of the signatures', answers: { 200: auditKeySchema }, errors: [404] },
      () => {
        if (signer === undefined) throw new RequestProblem('KEY_UNKNOWN', 'this process signs nothing')
        const { keyId, publicKey } = signer
        return { keyId, publicKey }
      },
    ),

    replay: route(
      {
        tag,
        summary: 'A run event by event: what happened, who caused it, and how the run stood after it, in words',
        params: executionParams,
        query: replayQuery,
        answers: { 200: replaySchema },
        errors: ['EXECUTION_UNKNOWN'],
      },
      async ({ params: { namespace, id }, query: { cursor, limit } }) => {
        const from = cursor ?? 0
        const steps = found(await replay(namespace, id, from, limit), 'EXECUTION_UNKNOWN', `execution ${id}`)
        return { items: steps.map(toReplay), nextCursor: steps.length === limit ? String(from + limit) : null }
      },
    ),
  }
}
