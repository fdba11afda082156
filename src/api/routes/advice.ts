import type { App } from '../../app.ts'
import { adviceSchema } from '../advice-answer.ts'
import { awaitPosition } from '../freshness.ts'
import { adviceQuery, workflowParams } from '../parameters.ts'
import { found, route } from '../route.ts'

export function adviceRoutes({ queries }: App) {
  return {
    of: route(
      {
        tag: 'Workflows',
        summary: 'What the recorded runs of a workflow say about it',
        description: 'The critical path with real durations, and findings, each with the evidence that it rests on.',
        params: workflowParams,
        query: adviceQuery,
        answers: { 200: adviceSchema },
      },
      async ({ params: { namespace, name }, query }) => {
        await awaitPosition(queries, query, ['workflows', 'executions'])
        const { runs, version } = query
        if (version === undefined)
          return found(await queries.advice(namespace, name, { runs }), 'WORKFLOW_UNKNOWN', `workflow ${name}`)
        const advice = await queries.advice(namespace, name, { runs, version })
        return found(advice, 'WORKFLOW_VERSION_UNKNOWN', `version ${version} of a workflow ${name}`)
      },
    ),
  }
}
