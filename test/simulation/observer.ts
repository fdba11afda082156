// Watches a simulated world from outside while it runs, and notes what no log can show afterwards.
import type { ExecutionCommand } from '../../src/domain/execution/commands.ts'
import type { ExecutionEvent } from '../../src/domain/execution/events.ts'
import type { Execution } from '../../src/domain/execution/state.ts'
import type { Work } from '../../src/domain/execution/work.ts'
import { type NewEvent, parseStream, type RecordedEvent } from '../../src/domain/message.ts'
import { faultOfDecision, foldRun } from './decisions.ts'
import type { Owner, Scheduler } from './scheduler.ts'

export type Observer = ReturnType<typeof createObserver>

/** @param now the wall clock of the world, in milliseconds since 1970 */
export function createObserver(now: () => number) {
  const runs = new Map<string, Execution>()
  const faults: string[] = []
  const eventIds = new Set<string>()
  const published = new Map<string, Work>()
  const latest: number[] = []
  const fired = new WeakMap<Owner, Map<string, { command: ExecutionCommand; step: number }>>()

  function appended(given: readonly NewEvent[], recorded: readonly RecordedEvent[]): void {
    for (const { id, position } of recorded) {
      eventIds.add(id)
      latest[position] = Math.max(now(), latest[position - 1] ?? 0)
    }
    if (!recorded[0]?.stream.startsWith('execution-')) return
    const { id } = parseStream(recorded[0].stream)
    for (let from = 0; from < recorded.length; ) {
      const { commandId } = recorded[from]!.metadata
      let to = from
      while (recorded[to]?.metadata.commandId === commandId) to++
      const events = recorded.slice(from, to) as readonly RecordedEvent<ExecutionEvent>[]
      const fault = faultOfDecision(runs.get(id), events, given[from]!.data)
      if (fault) faults.push(`${recorded[0].stream} revision ${recorded[from]!.revision}: ${fault}`)
      for (const event of events) runs.set(id, foldRun(runs.get(id), event))
      from = to
    }
  }

  /** A timer fires once when it is due, and again only later where its command could not be carried out. */
  function decides(command: ExecutionCommand, state: Execution, { current, steps }: Scheduler): void {
    const timer = timerOf(command)
    if (timer === undefined || current === undefined || state.status === 'none') return
    const key = `${state.run.executionId} ${timer}`
    const ofOwner = fired.get(current) ?? new Map()
    fired.set(current, ofOwner)
    const before = ofOwner.get(key)
    if (before && before.step === steps && before.command !== command)
      faults.push(`invariant 19: ${current.name} fires ${key} twice`)
    ofOwner.set(key, { command, step: steps })
  }

  return {
    /** Every run as the log folds to now. */
    runs: runs as ReadonlyMap<string, Execution>,
    /** One line for each promise that was seen broken. */
    faults: faults as readonly string[],
    published: published as ReadonlyMap<string, Work>,
    appended,
    decides,
    /** The latest that the wall clock had shown by the time of the event at `position`. */
    latestMs: (position: number): number => latest[position] ?? 0,
    /** Work is derived from the log, so whatever is handed out stands there. */
    handsOut(work: readonly Work[]): void {
      for (const one of work) {
        published.set(one.id, one)
        if (!eventIds.has(one.eventId))
          faults.push(`invariant 14: the work ${one.id} goes out before its event is there`)
      }
    },
    accuse(fault: string): void {
      faults.push(fault)
    },
  }
}

/** Of the commands that a timer alone issues; a run's own time may be over twice, before a pause and after it. */
function timerOf(command: ExecutionCommand): string | undefined {
  const isTimers = command.type === 'WakeStage' || (command.type === 'RetryStage' && command.by === 'timer')
  return isTimers ? `${command.type} ${command.stage} ${command.attempt}` : undefined
}
