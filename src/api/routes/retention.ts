import { z } from 'zod'
import type { App } from '../../app.ts'
import { retentionPolicyBody } from '../../commands/retention.ts'
import { awaitPosition } from '../freshness.ts'
import { executionParams, freshQuery, namespaceParams } from '../parameters.ts'
import { RequestProblem } from '../problems.ts'
import {
  cleanedUpSchema,
  previewSchema,
  retentionSchema,
  retentionSetSchema,
  storageSchema,
  toCleanedUp,
  toPolicy,
  toPreview,
  toRetention,
  toStorage,
} from '../retention-answers.ts'
import { route } from '../route.ts'

const tag = 'Retention'
const MOST_AT_ONCE = 5_000

const cleanUpBody = z.strictObject({
  limit: z
    .int()
    .min(1)
    .max(MOST_AT_ONCE)
    .default(1_000)
    .meta({ description: 'About how many runs and rows it takes at most.' }),
})
const previewBody = z.strictObject({
  policy: retentionPolicyBody.optional().meta({ description: 'One to try; without it, the one that holds.' }),
})

export function retentionRoutes({ commands, queries, retention }: App) {
  const kept = () => {
    if (retention === undefined) throw new RequestProblem('UNAVAILABLE', 'this process has no read models')
    return retention
  }
  return {
    one: route(
      {
        tag,
        summary: 'What a namespace keeps for how long, what there is of it, and what could be set',
        params: namespaceParams,
        query: freshQuery,
        answers: { 200: retentionSchema },
      },
      async ({ params, query }) => {
        await awaitPosition(queries, query)
        return toRetention(await kept().view(params.namespace))
      },
    ),

    set: route(
      {
        tag,
        summary: 'Set what a namespace keeps for how long',
        description:
          'Replaces the policy that was. What no rule names is kept for ever. Nothing goes at once: the next clean-up takes it; ask for a preview first.',
        params: namespaceParams,
        body: retentionPolicyBody,
        answers: { 200: retentionSetSchema },
      },
      async ({ caller, body }) => {
        const { position } = await commands.retention.setPolicy(caller, body)
        return { policy: toPolicy(body), position: String(position) }
      },
    ),

    preview: route(
      {
        tag,
        summary: 'What a clean-up would take, without taking it',
        params: namespaceParams,
        body: previewBody,
        bodyOptional: true,
        answers: { 200: previewSchema },
        errors: [409],
      },
      async ({ params, body }) => toPreview(await kept().preview(params.namespace, body.policy)),
    ),

    cleanUp: route(
      {
        tag,
        summary: 'Clean up now',
        description:
          'Streams of runs go into the archive before the log is cut, from where history, replay and restore still read them. Every removal is an event.',
        params: namespaceParams,
        body: cleanUpBody,
        bodyOptional: true,
        answers: { 200: cleanedUpSchema },
        errors: [409],
      },
      async ({ caller, body }) => toCleanedUp(await kept().cleanUp(caller, body.limit)),
    ),

    unarchive: route(
      {
        tag,
        summary: 'Put the stream of a run back into the log',
        description:
          'It stays there for as long as though the run had ended now. Nobody needs it to read the run: history and replay read the archive.',
        params: executionParams,
        body: z.strictObject({}),
        bodyOptional: true,
        answers: { 202: z.object({ id: z.string(), position: z.string() }) },
        errors: ['EXECUTION_UNKNOWN', 'EXECUTION_NOT_ARCHIVED', 'UNARCHIVE_IMPOSSIBLE'],
      },
      async ({ caller, params: { id } }) => ({ id, position: String((await kept().unarchive(caller, id)).position) }),
    ),

    storage: route(
      { tag, summary: 'What the read models and the archive take', answers: { 200: storageSchema } },
      async () => toStorage(await kept().storage()),
    ),
  }
}
