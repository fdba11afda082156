// What the attempts of each stage say about its timeout, its retries and its queue.
import type { CompiledStage, CompiledWorkflow } from '../../domain/workflow/definition.ts'
import type { Finding, FindingOf } from './findings.ts'
import { isHeld } from './handlers.ts'
import { type RecordedAttempt, type RecordedRun, type RecordedStage, wasLost, workMs } from './recorded-run.ts'
import { p50, p95, percentile, rateAtLeast, rounded, spelled, sum } from './statistics.ts'

/** The 95th percentile of fewer is but the longest. */
const MIN_ATTEMPTS = 20
/** A timeout catches what hangs, so it may well be some times the longest; ten times catches nothing soon. */
const TIMEOUT_TOO_LONG = 10
/** Below a minute there is nothing to gain from a shorter one. */
const LONG_TIMEOUT_MS = 60_000
const ENOUGH_TIMEOUT = 3
/** Reports travel, so an attempt that took its whole timeout may show a little less. */
const WHOLE_TIMEOUT = 0.95
/** What completed came this near to the timeout: then what did not was slow, and did not hang. */
const NEAR_TIMEOUT = 0.8
/** The least rate, after allowing for chance, at which it is the stage and not bad luck. */
const TIMED_OUT_RATE = 0.05
const FLAKY_RATE = 0.02
/** From here on flakiness costs somebody time every day. */
const VERY_FLAKY_RATE = 0.1
/** None of twelve: with 95 % confidence fewer than one retry in four helps. */
const MIN_RETRIED_RUNS = 12
/** Nobody waits for a second, and a queue that takes half as long as the work is as good as a slower stage. */
const LONG_WAIT_MS = 1_000
const LONG_WAIT_SHARE = 0.5

/** The findings of every stage, in the order of the document. */
export function findAttempts({ stages }: CompiledWorkflow, runs: readonly RecordedRun[]): Finding[] {
  return stages.flatMap((stage) => {
    const recorded = runs.flatMap((run) => run.stages.get(stage.id) ?? [])
    const attempts = recorded.flatMap((one) => one.attempts).filter((attempt) => !wasLost(attempt))
    return [
      ...(isHeld(stage) ? [] : [...timeout(stage, attempts), ...queueWait(stage, attempts)]),
      ...retries(stage, recorded),
      ...flaky(stage, recorded),
    ]
  })
}

function timeout({ id, timeoutMs }: CompiledStage, attempts: readonly RecordedAttempt[]): Finding[] {
  const completed = workMs(attempts)
  const timedOut = workMs(
    attempts.filter((attempt) => attempt.class === 'timeout'),
    ['failed'],
  ).filter((ms) => ms >= WHOLE_TIMEOUT * timeoutMs).length
  const seen = { timedOut, p95Ms: p95(completed), timeoutMs }
  const tried = completed.length + timedOut
  const atLeast = rateAtLeast(timedOut, tried)
  if (tried >= MIN_ATTEMPTS && atLeast >= TIMED_OUT_RATE && seen.p95Ms >= NEAR_TIMEOUT * timeoutMs) {
    const evidence = { ...seen, attempts: tried, rate: rounded(timedOut / tried), rateAtLeast: rounded(atLeast) }
    return [tooShort(id, evidence)]
  }
  const longestMs = percentile(completed, 1)
  const isLong = timeoutMs >= LONG_TIMEOUT_MS && timeoutMs >= TIMEOUT_TOO_LONG * longestMs
  if (completed.length < MIN_ATTEMPTS || !isLong) return []
  const enoughMs = Math.max(1_000, Math.ceil((ENOUGH_TIMEOUT * longestMs) / 1_000) * 1_000)
  return [tooLong(id, { ...seen, attempts: completed.length, longestMs, enoughMs })]
}

const tooShort = (stage: string, evidence: FindingOf<'timeout-too-short'>['evidence']): Finding => ({
  kind: 'timeout-too-short',
  stage,
  severity: 'warning',
  message:
    `${evidence.timedOut} of ${evidence.attempts} attempts of ${stage} ended at its timeout of ` +
    `${spelled(evidence.timeoutMs)}, and those that completed came close to it (p95 ${spelled(evidence.p95Ms)}).`,
  evidence,
  suggestion: `Raise the timeout, to ${spelled(2 * evidence.timeoutMs)} to begin with: how long it takes when it is let run is not known.`,
})

const tooLong = (stage: string, evidence: FindingOf<'timeout-too-long'>['evidence']): Finding => ({
  kind: 'timeout-too-long',
  stage,
  severity: evidence.timedOut > 0 ? 'warning' : 'info',
  message:
    `The longest of ${evidence.attempts} completed attempts of ${stage} took ${spelled(evidence.longestMs)}; ` +
    `its timeout is ${spelled(evidence.timeoutMs)}, so that ${
      evidence.timedOut > 0 ? `${evidence.timedOut} that hung held their runs` : 'one that hangs holds its run'
    } that long.`,
  evidence,
  suggestion: `A timeout of ${spelled(evidence.enoughMs)} would have cut off none of those that completed.`,
})

function queueWait({ id, queue }: CompiledStage, attempts: readonly RecordedAttempt[]): Finding[] {
  const waits = attempts.flatMap(({ scheduledMs, startedMs }) =>
    scheduledMs === null || startedMs === null ? [] : [startedMs - scheduledMs],
  )
  const workP50Ms = p50(workMs(attempts, ['completed', 'failed']))
  const waitP95Ms = p95(waits)
  if (waits.length < MIN_ATTEMPTS || waitP95Ms < LONG_WAIT_MS || waitP95Ms < LONG_WAIT_SHARE * workP50Ms) return []
  return [
    {
      kind: 'queue-wait',
      stage: id,
      severity: 'warning',
      message:
        `The slowest twentieth of the attempts of ${id} waited ${spelled(waitP95Ms)} or longer in the queue ${queue} ` +
        `before a worker took them; the work itself takes ${spelled(workP50Ms)} (p50).`,
      evidence: { queue, attempts: waits.length, waitP50Ms: p50(waits), waitP95Ms, workP50Ms },
      suggestion: `Give the queue ${queue} more room on its workers, or this stage a queue of its own.`,
    },
  ]
}

/** How the last attempt ended, where the work itself ended it. */
const endOf = ({ attempts }: RecordedStage): RecordedAttempt['outcome'] => {
  const last = attempts.at(-1)
  return !last || wasLost(last) || last.outcome === 'cancelled' ? null : last.outcome
}

type Retry = { readonly class: string; readonly spentMs: number }

/** The retries that the policy made in one run, each with the class of the failure before it and what it took, pause included. */
const retriesIn = ({ attempts }: RecordedStage): Retry[] =>
  attempts.flatMap((failed, at) => {
    const next = attempts[at + 1]
    if (failed.class === null || failed.recovery !== 'retry' || wasLost(failed) || !next || wasLost(next)) return []
    return [{ class: failed.class, spentMs: (next.finishedMs ?? 0) - (failed.finishedMs ?? 0) }]
  })

function retries({ id }: CompiledStage, recorded: readonly RecordedStage[]): Finding[] {
  const ended = recorded.filter((stage) => endOf(stage) !== null)
  const retried = ended.map((stage) => ({ helped: endOf(stage) === 'completed', retries: retriesIn(stage) }))
  const classes = [...new Set(retried.flatMap((run) => run.retries.map((retry) => retry.class)))].sort()
  const seen = classes.map((name) => {
    const those = retried.filter((run) => run.retries.some((retry) => retry.class === name))
    const made = those.flatMap((run) => run.retries).filter((retry) => retry.class === name)
    const helped = those.filter((run) => run.helped).length
    const spentMs = sum(made.map((retry) => retry.spentMs))
    return { class: name, runs: those.length, retries: made.length, helped, spentMs }
  })
  const noneHelped = seen.every(({ helped }) => helped === 0)
  return seen
    .filter(({ helped, runs }) => helped === 0 && runs >= MIN_RETRIED_RUNS)
    .map((one) => never(id, one, noneHelped))
}

const never = (stage: string, evidence: FindingOf<'retry-never-helps'>['evidence'], noneHelped: boolean): Finding => ({
  kind: 'retry-never-helps',
  stage,
  severity: 'warning',
  message:
    `In ${evidence.runs} runs a failure of ${stage} of the class ${evidence.class} was retried, ${evidence.retries} ` +
    `times in all, and the stage never completed; that took ${spelled(evidence.spentMs)}.`,
  evidence,
  suggestion: noneHelped
    ? 'Set `retry.maxAttempts` of the stage to 1.'
    : 'Have its handler say `retryable: false` of this failure; retries after other failures did help.',
})

function flaky({ id }: CompiledStage, recorded: readonly RecordedStage[]): Finding[] {
  const ended = recorded.filter((stage) => endOf(stage) !== null)
  const failures = ended
    .filter((stage) => endOf(stage) === 'completed')
    .map(({ attempts }) => attempts.filter((one) => one.outcome === 'failed' && !wasLost(one)))
    .filter((failed) => failed.length > 0)
  const [runs, flakyRuns] = [ended.length, failures.length]
  const atLeast = rateAtLeast(flakyRuns, runs)
  if (runs < MIN_ATTEMPTS || atLeast < FLAKY_RATE) return []
  const classes: { [name: string]: number } = {}
  for (const { class: name } of failures.flat()) classes[name ?? 'unknown'] = (classes[name ?? 'unknown'] ?? 0) + 1
  return [
    {
      kind: 'flaky',
      stage: id,
      severity: atLeast >= VERY_FLAKY_RATE ? 'warning' : 'info',
      message:
        `${id} failed and then completed on a retry in ${flakyRuns} of ${runs} runs; allowing for chance, in at ` +
        `least ${Math.round(atLeast * 1_000) / 10} % of them.`,
      evidence: { runs, flakyRuns, rate: rounded(flakyRuns / runs), rateAtLeast: rounded(atLeast), classes },
      suggestion: `Look at what its failures say (${Object.keys(classes).sort().join(', ')}): the retry hides a cause that is in the stage or in what it calls.`,
    },
  ]
}
