import type { Json } from '../message.ts'
import type { CompiledStage, CompiledStep, Matrix } from './definition.ts'
import { resourcesOf } from './resources.ts'
import { retryOf } from './retry.ts'
import { parseRoute, routeOf } from './route.ts'
import type { StageDocument, WorkflowDocument } from './schema.ts'
import { conditionOf } from './stage-faults.ts'

type Values = { readonly [key: string]: Json }

/** What stages have from their workflow where they do not say it themselves. */
export type Shared = {
  readonly timeoutMs: number
  readonly retry: StageDocument['retry']
  readonly env: Values | undefined
}

const HOUR_MS = 3_600_000
const defaults = {
  timeoutMs: 24 * HOUR_MS,
  stageTimeoutMs: HOUR_MS,
}

export const sharedBy = ({ timeout, retry, env }: WorkflowDocument): Shared => ({
  timeoutMs: timeout ?? defaults.timeoutMs,
  retry,
  env: env as Values | undefined,
})

/** A stage as it runs, every default filled in. */
export function compileStage(id: string, stage: StageDocument, shared: Shared): CompiledStage {
  const step = compileStep(stage, shared, 'default')
  return {
    id,
    ...step,
    needs: typeof stage.needs === 'string' ? [stage.needs] : (stage.needs ?? []),
    trigger: stage.trigger ?? 'all-success',
    ...(stage.when === undefined ? {} : { when: conditionOf(stage.when) }),
    ...(stage.resources === undefined ? {} : { resources: resourcesOf(stage.resources) }),
    ...(stage.matrix === undefined ? {} : { matrix: matrixOf(stage.matrix) }),
    ...(stage.fallback === undefined ? {} : { fallback: compileStep(stage.fallback, shared, step.queue) }),
    ...(stage.compensate === undefined ? {} : { compensate: compileStep(stage.compensate, shared, step.queue) }),
    ...(stage.continueOnError === true ? { continueOnError: true } : {}),
  }
}

type StepDocument = Pick<StageDocument, 'uses' | 'with' | 'env' | 'queue' | 'runsOn' | 'timeout' | 'retry'>

/** @param route what the step has of its stage where it does not say it itself: the queue, and the labels */
function compileStep(step: StepDocument, { timeoutMs, retry, env }: Shared, route: string): CompiledStep {
  const { queue, labels } = parseRoute(route)
  // What waits says itself how long; an hour would cut short what it is for.
  const waits = step.uses === 'wait' || step.uses === 'approval' || step.uses === 'signal'
  return {
    uses: step.uses,
    queue: routeOf(step.queue ?? queue, step.runsOn === undefined ? labels : [step.runsOn].flat()),
    with: inputOf(step, env),
    retry: retryOf(step.retry, retry),
    timeoutMs: waits ? timeoutMs : (step.timeout ?? defaults.stageTimeoutMs),
  }
}

/** A script's variables may stand in three places; the nearest to it wins. */
function inputOf({ uses, with: input = {}, env: own }: StepDocument, shared: Values | undefined): Values {
  const given = input as Values
  if (uses !== 'shell' || (own === undefined && shared === undefined)) return given
  if (typeof given.env === 'string') return given
  return { ...given, env: { ...shared, ...(own as Values | undefined), ...(given.env as Values | undefined) } }
}

function matrixOf({ maxParallel, failFast = true, ...axes }: NonNullable<StageDocument['matrix']>): Matrix {
  return {
    axes: axes as Matrix['axes'],
    ...(maxParallel === undefined ? {} : { maxParallel }),
    failFast,
  }
}
