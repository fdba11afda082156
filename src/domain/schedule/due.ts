// What becomes of nominal times: those that are due, those that were missed, those that waited, and those of a backfill.
import { type Draft, iso, MAX_OPEN } from './draft.ts'
import { newestTimes, nextTime } from './nominal-times.ts'

/** Whoever is later than this was not there. */
const LATE_MS = 60_000
/** Nominal times of one decision, so that it fits into an append; the others are due still. */
const MAX_TOGETHER = 100

export function fireDue(draft: Draft): void {
  const { status, spec } = draft.state
  if (status !== 'active') return
  catchUp(draft, draft.atMs - spec.jitterMs - LATE_MS - 1)
  for (let decided = 0; decided < MAX_TOGETHER; decided++) {
    const next = draft.next()
    if (next === undefined || draft.dueOf(next) > draft.atMs) break
    launch(draft, next)
  }
  draft.flush()
}

/** Nominal times up to `missedMs` were missed: as many as the policy wants are made up for, the newest of them. */
function catchUp(draft: Draft, missedMs: number): void {
  const { timing, misfire, catchUp } = draft.state.spec
  const first = draft.next()
  if (first === undefined || first > missedMs) return
  const most = { none: 0, once: 1, all: catchUp.max }[misfire]
  const afterMs = Math.max(Date.parse(draft.state.decidedTo), draft.atMs - catchUp.withinMs)
  const kept = most === 0 || afterMs >= missedMs ? [] : newestTimes(timing, afterMs, missedMs, most)
  draft.passUntil(kept[0] === undefined ? missedMs : kept[0] - 1, 'missed')
  for (const nominalMs of kept) launch(draft, nominalMs)
}

/** A nominal time is there: a run starts, or waits, or there is none. */
function launch(draft: Draft, nominalMs: number): void {
  const { live } = draft
  const { spec, queue, open } = draft.state
  const isFree = live.length === 0 && queue.length === 0
  if (open.length < MAX_OPEN && (isFree || spec.overlap === 'allow')) {
    draft.fire(iso(nominalMs))
    return
  }
  switch (spec.overlap) {
    case 'queue':
      if (queue.length >= spec.queueLimit) draft.pass(nominalMs, 'queue-full')
      else draft.emit({ type: 'ScheduleQueued', data: { nominalAt: iso(nominalMs) } })
      return
    case 'cancel-running': {
      for (const waiting of queue) replace(draft, waiting)
      const cancels = live.filter(({ cancelling }) => !cancelling).map(({ executionId }) => executionId)
      const asked = cancels.length === 0 ? {} : { cancels }
      draft.emit({ type: 'ScheduleQueued', data: { nominalAt: iso(nominalMs), ...asked } })
      return
    }
    default:
      draft.pass(nominalMs, 'overlap')
  }
}

const replace = (draft: Draft, waiting: string): void =>
  draft.emit({ type: 'ScheduleTimesPassed', data: { from: waiting, to: waiting, count: 1, reason: 'replaced' } })

/** Starts what waited for room that is there now. */
export function proceed(draft: Draft): void {
  while (draft.state.status === 'active' && draft.state.queue.length > 0) {
    const isFree = draft.live.length === 0 || draft.state.spec.overlap === 'allow'
    if (!isFree || draft.state.open.length >= MAX_OPEN) break
    draft.fire(draft.state.queue[0]!)
  }
  proceedBackfill(draft)
}

function proceedBackfill(draft: Draft): void {
  for (;;) {
    const { backfill, open, spec } = draft.state
    if (!backfill) return
    const { id, to, maxConcurrent, decidedTo } = backfill
    const running = open.filter((run) => run.backfill === id).length
    const next = nextTime(spec.timing, Date.parse(decidedTo))
    const isOver = next === undefined || next >= Date.parse(to)
    if (isOver && running === 0) draft.emit({ type: 'BackfillEnded', data: { id, outcome: 'completed' } })
    if (isOver || running >= maxConcurrent || open.length >= MAX_OPEN) return
    const nominalAt = iso(next)
    if (open.some((run) => run.nominalAt === nominalAt)) passInBackfill(draft, nominalAt, id)
    else draft.fire(nominalAt, id)
  }
}

/** Its run goes on already. */
const passInBackfill = (draft: Draft, nominalAt: string, backfill: string): void =>
  draft.emit({
    type: 'ScheduleTimesPassed',
    data: { from: nominalAt, to: nominalAt, count: 1, reason: 'overlap', backfill },
  })
