import type { z } from 'zod'
import type { App } from '../../app.ts'
import type { Caller } from '../../commands/caller.ts'
import { answerBody, type Controlled, reasonBody, retryStageBody } from '../../commands/control-execution.ts'
import type { RejectionCode } from '../../domain/rejected.ts'
import type { LogLine } from '../../ports/stage-logs.ts'
import { controlledSchema, logsSchema, toControlled, toLogs } from '../answers.ts'
import { awaitPosition } from '../freshness.ts'
import { defaultLimit, freshQuery, logsQuery, stageParams } from '../parameters.ts'
import { found, route } from '../route.ts'
import { stageDetailSchema } from '../stage-answers.ts'
import { PLAIN_TEXT, streamLogs } from '../streams.ts'

const tag = 'Executions'

export function stageRoutes({ commands, queries, history, stageLogs }: App) {
  /** The run's own state says whether the namespace has the stage, and which attempt is the latest. */
  const stageOf = async (namespace: string, id: string, stage: string) => {
    const run = found(await history.stateAt(namespace, id), 'EXECUTION_UNKNOWN', `execution ${id}`)
    return found(Object.hasOwn(run.stages, stage) ? run.stages[stage] : undefined, 'STAGE_UNKNOWN', `stage ${stage}`)
  }

  const control = <B extends z.ZodObject>(
    summary: string,
    description: string,
    errors: readonly RejectionCode[],
    body: B,
    command: (caller: Caller, id: string, stage: string, body: z.output<B>) => Promise<Controlled>,
  ) =>
    route(
      {
        tag,
        summary,
        description,
        params: stageParams,
        body,
        bodyOptional: true,
        answers: { 202: controlledSchema },
        errors: ['EXECUTION_UNKNOWN', 'STAGE_UNKNOWN', 'EXECUTION_ALREADY_ENDED', 'EXECUTION_CANCELLING', ...errors],
      },
      async ({ caller, params: { id, stage }, body: given }) =>
        toControlled(await command(caller, id, stage, given as z.output<B>)),
    )

  return {
    one: route(
      {
        tag,
        summary: 'A stage of a run, and each of its attempts',
        params: stageParams,
        query: freshQuery,
        answers: { 200: stageDetailSchema },
        errors: ['EXECUTION_UNKNOWN', 'STAGE_UNKNOWN'],
      },
      async ({ params: { namespace, id, stage }, query }) => {
        await awaitPosition(queries, query, ['executions'])
        const run = found(await queries.execution(namespace, id), 'EXECUTION_UNKNOWN', `execution ${id}`)
        const view = Object.hasOwn(run.stages, stage) ? run.stages[stage] : undefined
        return { ...found(view, 'STAGE_UNKNOWN', `stage ${stage}`), attempts: await queries.attempts(id, stage) }
      },
    ),

    retry: control(
      'Start the next attempt of a stage that failed, or waits to be retried, at once',
      "Members of `with` take the place of the stage's own, in this attempt and those after it; its siblings stay as they are.",
      ['STAGE_NOT_RETRYABLE', 'INPUT_INVALID'],
      retryStageBody,
      commands.control.retryStage,
    ),
    skip: control(
      'Pass a stage over that has not begun, or waits',
      'Those that need it go on as though it had succeeded.',
      ['STAGE_NOT_SKIPPABLE'],
      reasonBody,
      commands.control.skipStage,
    ),
    fail: control(
      'Give up a stage that failed and waits for a decision',
      'What follows is what follows from any failure of the stage.',
      ['STAGE_NOT_WAITING'],
      reasonBody,
      commands.control.failStage,
    ),
    approve: control(
      'Approve what a stage waits for',
      'Once a person, by one of its approvers; the stage completes when as many as it requires have.',
      ['APPROVER_NOT_ALLOWED', 'STAGE_NOT_WAITING'],
      answerBody,
      commands.control.approve,
    ),
    reject: control(
      'Reject what a stage waits for',
      'The stage fails with APPROVAL_REJECTED and is not tried again.',
      ['APPROVER_NOT_ALLOWED', 'STAGE_NOT_WAITING'],
      answerBody,
      commands.control.reject,
    ),

    logs: route(
      {
        tag,
        summary: 'What an attempt of a stage wrote',
        description: `Pages; with Accept: ${PLAIN_TEXT} the text alone, up to \`limit\` lines where it is given.`,
        params: stageParams,
        query: logsQuery,
        answers: { 200: logsSchema },
        alternative: PLAIN_TEXT,
      },
      async ({ params: { namespace, id, stage }, query, alternative, reply }) => {
        const latest = await stageOf(namespace, id, stage)
        const attempt = query.attempt ?? latest.attempt
        const after = query.cursor ?? query.after ?? 0
        const read = async (after: number, limit: number): Promise<readonly LogLine[]> =>
          // A stage that no attempt was made of has written nothing.
          attempt === 0 ? [] : stageLogs.read(id, stage, attempt, { after, limit })
        if (alternative) return streamLogs(reply, read, { after, limit: query.limit })
        const limit = query.limit ?? defaultLimit
        return toLogs(attempt, await read(after, limit), limit)
      },
    ),
  }
}
