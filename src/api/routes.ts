// Every route of the API, and those of a process without one.
import type { App } from '../app.ts'
import type { Route } from './route.ts'
import { adviceRoutes } from './routes/advice.ts'
import { executionRoutes } from './routes/executions.ts'
import { failureRoutes } from './routes/failures.ts'
import { operationRoutes } from './routes/operations.ts'
import { poolRoutes } from './routes/pools.ts'
import { projectionRoutes } from './routes/projections.ts'
import { scheduleRoutes } from './routes/schedules.ts'
import { stageRoutes } from './routes/stages.ts'
import { timeTravelRoutes } from './routes/time-travel.ts'
import { verificationRoutes } from './routes/verification.ts'
import { type Watched, watchingRoutes } from './routes/watching.ts'
import { whatIfRoutes } from './routes/what-if.ts'
import { workerRoutes } from './routes/workers.ts'
import { workflowRoutes } from './routes/workflows.ts'

export type RouteTable = readonly (readonly [method: 'GET' | 'POST' | 'PUT' | 'DELETE', path: string, route: Route])[]

export function watchingTable(watched: Watched): RouteTable {
  const { live, ready, metrics } = watchingRoutes(watched)
  return [
    ['GET', '/health/live', live],
    ['GET', '/health/ready', ready],
    ['GET', '/metrics', metrics],
  ]
}

export function routeTable(app: App, watched: Watched, describe: () => object): RouteTable {
  const workflows = workflowRoutes(app)
  const advice = adviceRoutes(app)
  const executions = executionRoutes(app)
  const schedules = scheduleRoutes(app)
  const stages = stageRoutes(app)
  const whatIf = whatIfRoutes(app)
  const timeTravel = timeTravelRoutes(app)
  const failures = failureRoutes(app)
  const pools = poolRoutes(app)
  const workers = workerRoutes(app)
  const operations = operationRoutes(describe)
  const projections = projectionRoutes(app)
  const verification = verificationRoutes(app)
  return [
    ['GET', '/v1/:namespace/workflows', workflows.list],
    ['POST', '/v1/:namespace/workflows/validate', workflows.validate],
    ['POST', '/v1/:namespace/workflows/generate', workflows.generate],
    ['PUT', '/v1/:namespace/workflows/:name', workflows.register],
    ['GET', '/v1/:namespace/workflows/:name', workflows.one],
    ['GET', '/v1/:namespace/workflows/:name/versions', workflows.versions],
    ['POST', '/v1/:namespace/workflows/:name/simulate', whatIf.simulate],
    ['POST', '/v1/:namespace/workflows/:name/failures/backtest', whatIf.backtest],
    ['GET', '/v1/:namespace/workflows/:name/advice', advice.of],
    ['POST', '/v1/:namespace/workflows/:name/retire', workflows.retire],

    ['POST', '/v1/:namespace/executions', executions.start],
    ['GET', '/v1/:namespace/executions', executions.list],
    ['GET', '/v1/:namespace/executions/:id', executions.one],
    ['POST', '/v1/:namespace/executions/:id/cancel', executions.cancel],
    ['POST', '/v1/:namespace/executions/:id/pause', executions.pause],
    ['POST', '/v1/:namespace/executions/:id/resume', executions.resume],
    ['POST', '/v1/:namespace/executions/:id/signals/:name', executions.signal],
    ['POST', '/v1/:namespace/executions/:id/restore', executions.restore],
    ['GET', '/v1/:namespace/executions/:id/history', executions.history],
    ['GET', '/v1/:namespace/executions/:id/state', timeTravel.state],
    ['GET', '/v1/:namespace/executions/:id/graph', timeTravel.graph],
    ['GET', '/v1/:namespace/executions/:id/diff', timeTravel.diff],
    ['POST', '/v1/:namespace/executions/:id/stages/:stage/approve', stages.approve],
    ['POST', '/v1/:namespace/executions/:id/stages/:stage/reject', stages.reject],
    ['POST', '/v1/:namespace/executions/:id/stages/:stage/retry', stages.retry],
    ['POST', '/v1/:namespace/executions/:id/stages/:stage/skip', stages.skip],
    ['POST', '/v1/:namespace/executions/:id/stages/:stage/fail', stages.fail],
    ['GET', '/v1/:namespace/executions/:id/stages/:stage/logs', stages.logs],

    ['GET', '/v1/:namespace/pools', pools.list],
    ['PUT', '/v1/:namespace/pools/:name', pools.define],
    ['GET', '/v1/:namespace/pools/:name', pools.one],
    ['GET', '/v1/:namespace/pools/:name/utilisation', pools.utilisation],
    ['GET', '/v1/:namespace/schedules', schedules.list],
    ['POST', '/v1/:namespace/schedules/preview', schedules.previewUnsaved],
    ['PUT', '/v1/:namespace/schedules/:name', schedules.define],
    ['GET', '/v1/:namespace/schedules/:name', schedules.one],
    ['DELETE', '/v1/:namespace/schedules/:name', schedules.remove],
    ['GET', '/v1/:namespace/schedules/:name/preview', schedules.preview],
    ['POST', '/v1/:namespace/schedules/:name/pause', schedules.pause],
    ['POST', '/v1/:namespace/schedules/:name/resume', schedules.resume],
    ['POST', '/v1/:namespace/schedules/:name/backfill', schedules.backfill],
    ['POST', '/v1/:namespace/schedules/:name/backfill/cancel', schedules.cancelBackfill],

    ['POST', '/v1/:namespace/failures/classify', failures.classify],
    ['GET', '/v1/:namespace/failures', failures.statistics],

    ['GET', '/v1/:namespace/workers', workers.list],
    ['GET', '/v1/:namespace/queues', workers.queues],

    ['GET', '/v1/admin/projections', projections.list],
    ['GET', '/v1/admin/projections/:name', projections.one],
    ['POST', '/v1/admin/projections/:name/rebuild', projections.rebuild],
    ['POST', '/v1/admin/projections/:name/rebuild/cancel', projections.cancel],
    ['POST', '/v1/admin/projections/:name/rebuild/swap', projections.swap],
    ['POST', '/v1/admin/projections/:name/rollback', projections.rollBack],
    ['POST', '/v1/admin/projections/:name/forget', projections.forget],
    ['POST', '/v1/admin/projections/:name/retry', projections.retry],
    ['POST', '/v1/admin/projections/:name/skip', projections.skip],
    ['POST', '/v1/admin/verify', verification.verify],
    ...watchingTable(watched),
    ['GET', '/openapi.json', operations.openapi],
    ['GET', '/schemas/workflow.json', operations.workflowSchema],
  ]
}
