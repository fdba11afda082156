// Every route of the API, and those of a process without one.
import type { App } from '../app.ts'
import type { Route } from './route.ts'
import { adviceRoutes } from './routes/advice.ts'
import { analyticsRoutes } from './routes/analytics.ts'
import { auditRoutes } from './routes/audit.ts'
import { executionRoutes } from './routes/executions.ts'
import { failureRoutes } from './routes/failures.ts'
import { operationRoutes } from './routes/operations.ts'
import { poolRoutes } from './routes/pools.ts'
import { projectionRoutes } from './routes/projections.ts'
import { retentionRoutes } from './routes/retention.ts'
import { scheduleRoutes } from './routes/schedules.ts'
import { stageRoutes } from './routes/stages.ts'
import { timeTravelRoutes } from './routes/time-travel.ts'
import { verificationRoutes } from './routes/verification.ts'
import { type Watched, watchingRoutes } from './routes/watching.ts'
import { whatIfRoutes } from './routes/what-if.ts'
import { workerRoutes } from './routes/workers.ts'
import { workflowRoutes } from './routes/workflows.ts'

/** `command` names what changes something, for the audit; without one a route only answers, whatever its method is. */
export type RouteTable = readonly (readonly [
  method: 'GET' | 'POST' | 'PUT' | 'DELETE',
  path: string,
  route: Route,
  command?: string,
])[]

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
  const audit = auditRoutes(app)
  const analytics = analyticsRoutes(app)
  const retention = retentionRoutes(app)
  return [
    ['GET', '/v1/:namespace/workflows', workflows.list],
    ['POST', '/v1/:namespace/workflows/validate', workflows.validate],
    ['POST', '/v1/:namespace/workflows/generate', workflows.generate],
    ['PUT', '/v1/:namespace/workflows/:name', workflows.register, 'RegisterWorkflow'],
    ['GET', '/v1/:namespace/workflows/:name', workflows.one],
    ['GET', '/v1/:namespace/workflows/:name/versions', workflows.versions],
    ['POST', '/v1/:namespace/workflows/:name/simulate', whatIf.simulate],
    ['POST', '/v1/:namespace/workflows/:name/failures/backtest', whatIf.backtest],
    ['GET', '/v1/:namespace/workflows/:name/advice', advice.of],
    ['POST', '/v1/:namespace/workflows/:name/retire', workflows.retire, 'RetireWorkflow'],

    ['POST', '/v1/:namespace/executions', executions.start, 'StartExecution'],
    ['GET', '/v1/:namespace/executions', executions.list],
    ['GET', '/v1/:namespace/executions/:id', executions.one],
    ['POST', '/v1/:namespace/executions/:id/cancel', executions.cancel, 'CancelExecution'],
    ['POST', '/v1/:namespace/executions/:id/pause', executions.pause, 'PauseExecution'],
    ['POST', '/v1/:namespace/executions/:id/resume', executions.resume, 'ResumeExecution'],
    ['POST', '/v1/:namespace/executions/:id/signals/:name', executions.signal, 'SendSignal'],
    ['POST', '/v1/:namespace/executions/:id/restore', executions.restore, 'RestoreExecution'],
    ['POST', '/v1/:namespace/executions/:id/unarchive', retention.unarchive, 'UnarchiveExecution'],
    ['GET', '/v1/:namespace/executions/:id/history', executions.history],
    ['GET', '/v1/:namespace/executions/:id/state', timeTravel.state],
    ['GET', '/v1/:namespace/executions/:id/replay', audit.replay],
    ['GET', '/v1/:namespace/executions/:id/graph', timeTravel.graph],
    ['GET', '/v1/:namespace/executions/:id/diff', timeTravel.diff],
    ['GET', '/v1/:namespace/executions/:id/stages/:stage', stages.one],
    ['POST', '/v1/:namespace/executions/:id/stages/:stage/approve', stages.approve, 'ApproveStage'],
    ['POST', '/v1/:namespace/executions/:id/stages/:stage/reject', stages.reject, 'RejectStage'],
    ['POST', '/v1/:namespace/executions/:id/stages/:stage/retry', stages.retry, 'RetryStage'],
    ['POST', '/v1/:namespace/executions/:id/stages/:stage/skip', stages.skip, 'SkipStage'],
    ['POST', '/v1/:namespace/executions/:id/stages/:stage/fail', stages.fail, 'FailStage'],
    ['GET', '/v1/:namespace/executions/:id/stages/:stage/logs', stages.logs],

    ['GET', '/v1/:namespace/pools', pools.list],
    ['PUT', '/v1/:namespace/pools/:name', pools.define, 'DefinePool'],
    ['GET', '/v1/:namespace/pools/:name', pools.one],
    ['GET', '/v1/:namespace/pools/:name/utilisation', pools.utilisation],
    ['GET', '/v1/:namespace/schedules', schedules.list],
    ['POST', '/v1/:namespace/schedules/preview', schedules.previewUnsaved],
    ['PUT', '/v1/:namespace/schedules/:name', schedules.define, 'DefineSchedule'],
    ['GET', '/v1/:namespace/schedules/:name', schedules.one],
    ['DELETE', '/v1/:namespace/schedules/:name', schedules.remove, 'DeleteSchedule'],
    ['GET', '/v1/:namespace/schedules/:name/preview', schedules.preview],
    ['POST', '/v1/:namespace/schedules/:name/pause', schedules.pause, 'PauseSchedule'],
    ['POST', '/v1/:namespace/schedules/:name/resume', schedules.resume, 'ResumeSchedule'],
    ['POST', '/v1/:namespace/schedules/:name/backfill', schedules.backfill, 'BackfillSchedule'],
    ['POST', '/v1/:namespace/schedules/:name/backfill/cancel', schedules.cancelBackfill, 'CancelBackfill'],

    ['POST', '/v1/:namespace/failures/classify', failures.classify],
    ['GET', '/v1/:namespace/failures', failures.statistics],

    ['GET', '/v1/:namespace/analytics', analytics.by],
    ['GET', '/v1/:namespace/metrics', analytics.series],

    ['GET', '/v1/:namespace/workers', workers.list],
    ['GET', '/v1/:namespace/queues', workers.queues],

    ['GET', '/v1/:namespace/audit', audit.list],
    ['GET', '/v1/:namespace/audit/export', audit.exported],
    ['GET', '/v1/:namespace/audit/checkpoint', audit.checkpoint],
    ['GET', '/v1/admin/audit/key', audit.key],

    ['GET', '/v1/:namespace/retention', retention.one],
    ['PUT', '/v1/:namespace/retention', retention.set, 'SetRetention'],
    ['POST', '/v1/:namespace/retention/preview', retention.preview],
    ['POST', '/v1/:namespace/retention/clean-up', retention.cleanUp, 'CleanUp'],
    ['GET', '/v1/admin/storage', retention.storage],

    ['GET', '/v1/admin/projections', projections.list],
    ['GET', '/v1/admin/projections/:name', projections.one],
    ['POST', '/v1/admin/projections/:name/rebuild', projections.rebuild, 'RebuildProjection'],
    ['POST', '/v1/admin/projections/:name/rebuild/cancel', projections.cancel, 'CancelRebuild'],
    ['POST', '/v1/admin/projections/:name/rebuild/swap', projections.swap, 'SwapProjection'],
    ['POST', '/v1/admin/projections/:name/rollback', projections.rollBack, 'RollBackProjection'],
    ['POST', '/v1/admin/projections/:name/forget', projections.forget, 'ForgetProjection'],
    ['POST', '/v1/admin/projections/:name/retry', projections.retry, 'RetryProjection'],
    ['POST', '/v1/admin/projections/:name/skip', projections.skip, 'SkipProjectionEvent'],
    ['POST', '/v1/admin/verify', verification.verify, 'Verify'],
    ...watchingTable(watched),
    ['GET', '/openapi.json', operations.openapi],
    ['GET', '/schemas/workflow.json', operations.workflowSchema],
  ]
}
