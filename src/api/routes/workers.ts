import type { App } from '../../app.ts'
import { awaitPosition } from '../freshness.ts'
import { namespaceParams, workersQuery } from '../parameters.ts'
import { pageOf, route } from '../route.ts'
import { queuesSchema, toQueues, workersSchema } from '../worker-answers.ts'

const tag = 'Operations'

export function workerRoutes({ queries, queues }: App) {
  return {
    list: route(
      {
        tag,
        summary: 'List the workers, the newest first',
        description: 'Workers serve every namespace; what they run is counted in this one.',
        params: namespaceParams,
        query: workersQuery,
        answers: { 200: workersSchema },
      },
      async ({ params, query }) => {
        await awaitPosition(queries, query, ['workers', 'executions'])
        const filter = query.status === undefined ? {} : { status: query.status }
        return queries.workers(params.namespace, filter, pageOf(query), query.sort)
      },
    ),

    queues: route(
      {
        tag,
        summary: 'How much work waits, for which labels, since when, and who would take it',
        description: 'Queues hold the work of every namespace. They are as the queue has them now.',
        params: namespaceParams,
        answers: { 200: queuesSchema },
      },
      async () => toQueues(await queues()),
    ),
  }
}
