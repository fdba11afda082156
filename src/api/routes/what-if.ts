import { z } from 'zod'
import type { App } from '../../app.ts'
import { compileDocument } from '../../commands/compile-document.ts'
import type { Json } from '../../domain/message.ts'
import { Rejected } from '../../domain/rejected.ts'
import { readFailureRules } from '../../domain/workflow/failure-rules.ts'
import { json } from '../answers.ts'
import { workflowParams } from '../parameters.ts'
import { found, route } from '../route.ts'

const tag = 'Workflows'
const MAX_RUNS = 100

/** Which past runs to look at. */
const chosenRuns = {
  executions: z
    .array(z.uuid())
    .min(1)
    .max(MAX_RUNS)
    .optional()
    .meta({ description: 'Ids of past runs of the workflow; those that ended last without it.' }),
  last: z.int().min(1).max(MAX_RUNS).default(20).meta({ description: 'How many of the last runs.' }),
}

const body = z.strictObject({
  ...chosenRuns,
  definition: z.custom<Json>().meta({ description: 'A workflow, as /schemas/workflow.json describes it.' }),
  input: json.optional().meta({ description: 'In place of the inputs that the runs were started with.' }),
})

const readonlyArray = <T extends z.ZodType>(item: T) => z.array(item).readonly()
const ms = z.number().meta({ description: 'Milliseconds.' })
const course = { status: z.string(), durationMs: ms, retries: z.int() }
const both = z.object({ recorded: z.number(), simulated: z.number() })
const simulated = {
  runs: readonlyArray(
    z.object({
      execution: z.string(),
      recorded: z.object(course),
      simulated: z.object({
        ...course,
        path: readonlyArray(z.string()).meta({
          description: 'The stages that the run waited for, from first to last.',
        }),
        stages: readonlyArray(
          z.object({
            stage: z.string(),
            status: z.string(),
            attempts: z.int(),
            startedMs: ms.optional(),
            finishedMs: ms.optional(),
            assumed: z.boolean().meta({ description: 'Nothing like it was recorded: it was taken to succeed.' }),
          }),
        ),
      }),
      differences: readonlyArray(
        z.object({ stage: z.string(), recorded: z.string().nullable(), simulated: z.string().nullable() }),
      ),
    }),
  ),
  summary: z.object({
    runs: z.int(),
    sameStatus: z.int(),
    completed: both,
    retries: both,
    medianDurationMs: both,
  }),
}
const answer = z.object(simulated)

const backtestBody = z.strictObject({
  ...chosenRuns,
  failures: z.custom<Json>().meta({ description: 'Rules, as `failures` of /schemas/workflow.json describes them.' }),
})
const judged = z.object({ class: z.string(), rule: z.string(), recovery: z.string() })
const backtestAnswer = z.object({
  ...simulated,
  retries: z.object({ saved: z.int(), added: z.int() }),
  reclassified: readonlyArray(
    z.object({ execution: z.string(), stage: z.string(), attempt: z.int(), recorded: judged, now: judged }),
  ).meta({ description: 'Failures that the rules judge otherwise; at most the first 500.' }),
})

export function whatIfRoutes({ whatIf, backtest }: App) {
  return {
    simulate: route(
      {
        tag,
        summary: 'Run a definition against the recorded results and durations of past runs, without side effects',
        params: workflowParams,
        body,
        answers: { 200: answer },
      },
      async ({ params: { namespace, name }, body: { definition, executions, last, input } }) => {
        const compiled = compileDocument(definition)
        if (!compiled.ok) {
          const faults = compiled.faults.map((fault) => ({ ...fault, pointer: `/definition${fault.pointer}` }))
          throw new Rejected('DEFINITION_INVALID', 'the workflow definition has faults', faults)
        }
        const chosen = {
          last,
          ...(executions === undefined ? {} : { executions }),
          ...(input === undefined ? {} : { input }),
        }
        const answered = await whatIf(namespace, name, () => compiled.definition, chosen)
        return found(answered, 'EXECUTION_UNKNOWN', `such execution of a workflow ${name}`)
      },
    ),

    backtest: route(
      {
        tag,
        summary: 'Replay the failures of past runs under other rules, and say what would have changed',
        params: workflowParams,
        body: backtestBody,
        answers: { 200: backtestAnswer },
      },
      async ({ params: { namespace, name }, body: { failures, executions, last } }) => {
        const read = readFailureRules(failures, ['failures'])
        if (!read.ok) throw new Rejected('DEFINITION_INVALID', 'the rules have faults', read.faults)
        const chosen = { last, ...(executions === undefined ? {} : { executions }) }
        const answered = await backtest(namespace, name, read.rules, chosen)
        return found(answered, 'EXECUTION_UNKNOWN', `such execution of a workflow ${name}`)
      },
    ),
  }
}
