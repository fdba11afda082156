// A decision and all that follows from it are one batch: what a whole batch may not leave behind.
import { hasEnded, maxParallelOf, type Recorded, type Run, runningIn, type Seen, said, verdictOn } from './run-seen.ts'

export function checkSettled(run: Run, last: Recorded): void {
  if (run.ended) return
  const seen = [...run.stages.values()]
  const undoes = run.paused && run.failing === 'compensate' && run.undoable.length > 0 && !run.compensated
  if (seen.every(hasEnded) && !undoes) run.accuse(last, 2, 'every stage has ended, and the batch does not end the run')
  for (const one of seen) {
    const what = leftBehind(run, one)
    if (what !== undefined) run.accuse(last, 2, `the batch ends ${what}: ${said(one)}`)
  }
}

function leftBehind(run: Run, one: Seen): string | undefined {
  switch (one.status) {
    case 'failing':
      return 'without a word on what follows from a failure'
    case 'expanded':
      return one.children.every(hasEnded) ? 'without a word on the stage whose group has ended' : undefined
    case 'waiting':
      return isAnswered(run, one) ? 'although what a stage waits for is there' : undefined
    case 'scheduled':
      return endsNow(run, one) ? 'with an attempt that nobody will stop' : undefined
    case 'idle':
      return idleLeft(run, one)
    default:
      return undefined
  }
}

function isAnswered({ signals }: Run, { waits, approval }: Seen): boolean {
  if (waits?.for === 'signal') return signals.some(({ name }) => name === waits.name)
  return approval !== undefined && (approval.rejected || approval.granted.length >= approval.required)
}

/** Cancellation ends what is idle at once; what undoes the run after a timeout goes on. */
const endsNow = ({ cancellation }: Run, { stage }: Seen): boolean =>
  cancellation !== undefined && (stage.compensates === undefined || cancellation.data.outcome === 'cancelled')

function idleLeft(run: Run, one: Seen): string | undefined {
  const { stage, attempt, dueAt } = one
  if (endsNow(run, one)) return 'with a stage that nobody will start'
  const parent = stage.parent === undefined ? undefined : run.stages.get(stage.parent)
  if (parent && parent.status !== 'expanded') return 'with a stage whose group has ended'
  if (run.queued) return undefined
  const patient = stage.trigger === 'all-done' || stage.trigger === 'any-failure'
  const outlives = patient || parent !== undefined || stage.compensates !== undefined
  if (one.asks !== undefined)
    return run.failing && !outlives ? 'with a stage that ought to end with the run' : undefined
  if (dueAt !== undefined || attempt > 0) return undefined
  const verdict = verdictOn(run, one)
  if (verdict === 'never') return 'with a stage that can never start'
  if (run.failing && !outlives) return 'with a stage that ought to end with the run'
  // What an append has no room for begins with a later one, as long as something goes on so that there will be one; only large runs come to that.
  const busy = [...run.stages.values()].filter(({ status }) => status === 'scheduled' || status === 'running').length
  if (busy > 0 && run.stages.size > 100) return undefined
  const full = parent !== undefined && runningIn(parent).length >= maxParallelOf(parent)
  return verdict === 'start' && !run.paused && !full ? 'without a word on a stage' : undefined
}
