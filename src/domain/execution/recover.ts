// What follows from a failed attempt: another one, the stage's end, or the end of more than that.
import type { RecoveryPlan, RetryPolicy } from '../workflow/definition.ts'
import { movedTo } from '../workflow/route.ts'
import type { Draft, Failure } from './draft.ts'
import type { ExecutionEventOf, Recovery, StageError } from './events.ts'
import { backoffMs, classify, lostDelayMs, MAX_LOST_ATTEMPTS, seedOf } from './failure.ts'
import { hasEnded, type StageState } from './state.ts'

type Verdict = ReturnType<typeof classify>
type Final = 'fail-fast' | 'compensate' | 'continue'
type Chosen = { readonly recovery: Recovery; readonly retry?: RetryPolicy; readonly queue?: string }

/** Rules name stages of the definition: for one that was generated, or undoes another, they say the one it comes from. */
function judge(draft: Draft, index: number, error: StageError): Verdict {
  const [stage] = draft.stage(index).id.split('.')
  return classify(error, stage, draft.state.run.definition.failures)
}

/** Decides on one failure and says so. */
export function recover(draft: Draft, failure: Failure): void {
  const { index, attempt, error } = failure
  const verdict = judge(draft, index, error)
  const { recovery, retry, queue } = choose(draft, failure, verdict)
  const stops = recovery === 'fail-fast' || recovery === 'compensate' ? runningWith(draft, index, recovery) : []
  draft.emit({
    type: 'StageFailed',
    data: {
      ...{ stage: draft.stage(index).id, attempt, error, class: verdict.class, rule: verdict.rule, recovery },
      ...(stops.length === 0 ? {} : { stops }),
    },
  })
  if (recovery === 'retry') {
    const seed = seedOf(`${draft.state.run.executionId}:${draft.stage(index).id}:${attempt}`)
    announce(draft, index, 'policy', backoffMs(retry!, Math.max(usedBy(draft, index, attempt), 1), seed), queue)
  } else if (recovery === 'fallback') announce(draft, index, 'fallback', 0)
  else if (recovery === 'skip') skip(draft, index, error)
  else if (recovery !== 'ask') endWith(draft, index, recovery)
  draft.leave(index)
}

const usedBy = (draft: Draft, index: number, attempt: number): number => {
  const now = draft.now(index)
  return 'lost' in now ? attempt - now.lost - now.replaced : attempt
}

function choose(draft: Draft, { index, attempt, error, final }: Failure, { recover: plan, retries }: Verdict): Chosen {
  const stage = draft.stage(index)
  if (draft.isEnding(index) || stage.compensates !== undefined) {
    const again = stage.compensates !== undefined && !draft.isEnding(index) && retries && !final
    return (again && retryOf(draft, index, attempt, error)) || { recovery: 'continue' }
  }
  const now = draft.now(index)
  // What generated others has no work of its own that could be done again.
  const asks = plan?.action === 'ask' && now.status === 'expanded'
  if (plan && plan.action !== 'retry' && plan.action !== 'fallback' && !asks) return { recovery: plan.action }
  const again = plan?.action === 'retry' || (plan === undefined && retries)
  const another = again && !final ? retryOf(draft, index, attempt, error, plan) : undefined
  if (another) return another
  if (stage.fallback && stage.matrix === undefined && now.status !== 'expanded' && !('fallback' in now && now.fallback))
    return { recovery: 'fallback' }
  if (stage.continueOnError) return { recovery: 'skip' }
  return { recovery: finalOf(draft, index) }
}

/** Another attempt, if there is one left. What a fallback does is retried by its own policy. */
function retryOf(
  draft: Draft,
  index: number,
  attempt: number,
  error: StageError,
  plan?: RecoveryPlan,
): Chosen | undefined {
  const now = draft.now(index)
  if (now.status !== 'scheduled' && now.status !== 'running') return undefined
  const stage = draft.stage(index)
  const own = now.fallback ? (stage.fallback ?? stage) : stage
  const {
    maxAttempts = own.retry.maxAttempts,
    backoff = own.retry.backoff,
    queue,
  } = plan?.action === 'retry' ? plan : {}
  if (error.retryable === false || usedBy(draft, index, attempt) >= maxAttempts) return undefined
  const moved = queue === undefined ? {} : { queue: movedTo(queue, own.queue) }
  return { recovery: 'retry', retry: { maxAttempts, backoff }, ...moved }
}

function finalOf(draft: Draft, index: number): Final {
  const { parent } = draft.stage(index)
  const { run } = draft.state
  if (parent === undefined) return run.definition.onFailure
  // The stage that generated it answers for it to the run.
  return draft.stage(run.graph.indexOf(parent)).matrix?.failFast === false ? 'continue' : 'fail-fast'
}

/** Says when the next attempt is due, and begins it where that is now. */
function announce(
  draft: Draft,
  index: number,
  reason: 'policy' | 'lost' | 'fallback',
  delayMs: number,
  queue?: string,
): void {
  const now = draft.now(index)
  if (now.status !== 'retrying') throw new Error(`a stage that is ${now.status} is not retried`)
  const dueAt = new Date(Date.parse(draft.at) + delayMs).toISOString()
  draft.emit({
    type: 'StageRetried',
    data: {
      ...{ stage: draft.stage(index).id, attempt: now.attempt, dueAt, backoffMs: delayMs, reason },
      ...(queue === undefined ? {} : { queue }),
    },
  })
  if (delayMs === 0) draft.due.push(index)
}

/** An attempt that ended through no fault of its work is made again and uses none up, within a bound. */
export function lose(draft: Draft, index: number, attempt: number, error: StageError): void {
  const { id } = draft.stage(index)
  if (draft.isEnding(index)) {
    draft.emit({ type: 'StageCancelled', data: { stage: id, attempt, reason: error.message } })
    draft.ended.push(index)
    return
  }
  const now = draft.now(index)
  const lostBefore = 'lost' in now ? now.lost : 0
  if (lostBefore >= MAX_LOST_ATTEMPTS) {
    draft.failed.push({ index, attempt, error, final: true })
    return
  }
  const verdict = judge(draft, index, error)
  draft.emit({
    type: 'StageFailed',
    data: { stage: id, attempt, error, class: verdict.class, rule: verdict.rule, recovery: 'retry' },
  })
  announce(draft, index, 'lost', lostDelayMs(lostBefore))
  draft.leave(index)
}

function skip(draft: Draft, index: number, error: StageError): void {
  const detail = `${error.code}: ${error.message}`.slice(0, 1_024)
  draft.emit({ type: 'StageSkipped', data: { stage: draft.stage(index).id, reason: 'recovery', detail } })
  draft.ended.push(index)
}

/** A person gives up a stage that waits for their word. */
export function abandon(draft: Draft, index: number, attempt: number, reason: string): void {
  const recovery = finalOf(draft, index)
  const stops = recovery === 'continue' ? [] : runningWith(draft, index, recovery)
  const data: ExecutionEventOf<'StageAbandoned'>['data'] = { stage: draft.stage(index).id, attempt, reason, recovery }
  draft.emit({ type: 'StageAbandoned', data: stops.length === 0 ? data : { ...data, stops } })
  endWith(draft, index, recovery)
}

function endWith(draft: Draft, index: number, recovery: Final): void {
  draft.ended.push(index)
  if (recovery !== 'continue') endOthers(draft, index, recovery)
}

/** Whether the stage at `other` ends with the failure of the one at `index`: its siblings, or all of the run. */
function isWith(draft: Draft, index: number, recovery: Final, other: number): boolean {
  const { parent } = draft.stage(index)
  if (recovery === 'compensate' || parent === undefined) return true
  for (let at = draft.stage(other); at.parent !== undefined; at = draft.stage(draft.state.run.graph.indexOf(at.parent)))
    if (at.parent === parent) return true
  return false
}

function runningWith(draft: Draft, index: number, recovery: Final): string[] {
  return draft.state.stages.flatMap((state, other) => {
    const stops = other !== index && state.status === 'running' && state.stopping === undefined
    return stops && isWith(draft, index, recovery, other) ? [draft.stage(other).id] : []
  })
}

function endOthers(draft: Draft, index: number, recovery: Final): void {
  const detail = `${draft.stage(index).id} failed`
  draft.state.stages.forEach((state, other) => {
    if (hasEnded(state) || !isWith(draft, index, recovery, other)) return
    const stage = draft.stage(other)
    if (state.status === 'blocked') {
      if (stage.trigger === 'all-done' || stage.trigger === 'any-failure') return
      draft.emit({ type: 'StageSkipped', data: { stage: stage.id, reason: 'fail-fast', detail } })
    } else if (!cancelIdle(draft, other, state, detail)) return
    draft.ended.push(other)
  })
}

/** Cancels a stage of which nothing runs; false when something does, or it has ended. */
export function cancelIdle(draft: Draft, index: number, state: StageState, reason: string): boolean {
  if (state.status !== 'scheduled' && state.status !== 'waiting' && state.status !== 'retrying') return false
  // Of a stage between two attempts the next has not been scheduled, so the one before is the one that is cancelled.
  const isBetween = state.status === 'retrying' || (state.status === 'waiting' && state.waits.for === 'pool')
  const attempt = isBetween ? state.attempt - 1 : state.attempt
  draft.emit({ type: 'StageCancelled', data: { stage: draft.stage(index).id, attempt, reason } })
  return true
}
