import type { App } from '../../app.ts'
import { classifyFailureBody } from '../../commands/classify-failure.ts'
import type { FailureQuestion } from '../../queries/queries.ts'
import { json } from '../answers.ts'
import { classifiedSchema, failuresSchema } from '../failure-answers.ts'
import { createKept, KEPT_FOR_A_MOMENT } from '../kept.ts'
import { failuresQuery, namespaceParams } from '../parameters.ts'
import { route } from '../route.ts'

/** What rules must be like the command says, with a pointer for every fault. */
const body = classifyFailureBody.safeExtend({
  rules: json.optional().meta({ description: 'Rules as `failures` of /schemas/workflow.json describes them.' }),
})

/** How far back is looked where nothing is said. */
const MONTH_MS = 30 * 24 * 60 * 60_000

export function failureRoutes({ commands, queries, clock, cache }: App) {
  const kept = createKept({ cache, queries })
  return {
    classify: route(
      {
        tag: 'Workflows',
        summary: 'Try an error against rules of failure',
        description:
          'The rules that are sent come first, then those of the workflow, then the built-in ones. Nothing is recorded.',
        params: namespaceParams,
        body,
        answers: { 200: classifiedSchema },
        errors: [409],
      },
      ({ caller, body }) => commands.classifyFailure(caller, body),
    ),

    statistics: route(
      {
        tag: 'Executions',
        summary: 'How attempts of stages failed, and what became of that',
        description:
          'Counts by `groupBy`, the largest first. Looks back 30 days from `to` where `from` is left out.' +
          KEPT_FOR_A_MOMENT,
        params: namespaceParams,
        query: failuresQuery,
        answers: { 200: failuresSchema },
      },
      async ({ params, query }) => {
        const { minPosition, wait, ...asked } = query
        const { groupBy, limit, workflow, stage, class: failureClass } = asked
        const filters = Object.entries({ workflow, stage, class: failureClass }).filter(
          ([, value]) => value !== undefined,
        )
        return kept(['failures', params.namespace, asked], { minPosition, wait }, ['executions'], async () => {
          // Not before it has waited. What failed in this very millisecond is part of it.
          const toMs = query.to === undefined ? clock.now() + 1 : Date.parse(query.to)
          const fromMs = query.from === undefined ? toMs - MONTH_MS : Date.parse(query.from)
          const [from, to] = [new Date(fromMs).toISOString(), new Date(toMs).toISOString()]
          const question: FailureQuestion = { groupBy, limit, from, to, ...Object.fromEntries(filters) }
          return { ...(await queries.failures(params.namespace, question)), from, to }
        })
      },
    ),
  }
}
