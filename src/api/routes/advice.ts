import type { App } from '../../app.ts'
import { adviceSchema } from '../advice-answer.ts'
import { createKept, KEPT_FOR_A_MOMENT } from '../kept.ts'
import { adviceQuery, workflowParams } from '../parameters.ts'
import { found, route } from '../route.ts'

export function adviceRoutes({ queries, cache }: App) {
  const kept = createKept({ cache, queries })
  return {
    of: route(
      {
        tag: 'Workflows',
        summary: 'What the recorded runs of a workflow say about it',
        description:
          'The critical path with real durations, and findings, each with the evidence that it rests on.' +
          KEPT_FOR_A_MOMENT,
        params: workflowParams,
        query: adviceQuery,
        answers: { 200: adviceSchema },
      },
      async ({ params: { namespace, name }, query }) => {
        const { minPosition, wait, ...asked } = query
        const { runs, version } = asked
        const readModels = ['workflows', 'executions'] as const
        return kept(['advice', namespace, name, asked], { minPosition, wait }, readModels, async () => {
          if (version === undefined)
            return found(await queries.advice(namespace, name, { runs }), 'WORKFLOW_UNKNOWN', `workflow ${name}`)
          const advice = await queries.advice(namespace, name, { runs, version })
          return found(advice, 'WORKFLOW_VERSION_UNKNOWN', `version ${version} of a workflow ${name}`)
        })
      },
    ),
  }
}
