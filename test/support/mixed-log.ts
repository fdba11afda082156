import { randomInt } from 'node:crypto'
import type { DomainEvent } from '../../src/domain/message.ts'
import { busyPool } from './busy-pool.ts'
import { randomSchedules } from './random-schedules.ts'
import { type RecordedLog, recordedLog } from './recorded-log.ts'
import { anyRun, registered } from './runs.ts'
import { anyLife } from './worker-lives.ts'

/** Adds runs of every kind and lives of workers, their events mixed but in order for each, with what workflows, schedules and pools do between. */
export function mixInto(log: RecordedLog): (runs: number) => void {
  const schedule = randomSchedules(log)
  const pool = busyPool()
  let version = 0
  return (runs) => {
    const all = [...Array.from({ length: runs }, () => anyRun()), ...Array.from({ length: runs / 10 }, () => anyLife())]
    const under: { stream: string; rest: DomainEvent[] }[] = all.map(({ stream, events }) => ({
      stream,
      rest: [...events],
    }))
    while (under.length > 0) {
      schedule()
      const at = randomInt(under.length)
      const { stream, rest } = under[at]!
      log.record(stream, rest.splice(0, randomInt(1, 4)))
      if (rest.length === 0) under.splice(at, 1)
      log.record('pool-default.production', pool())
      if (randomInt(20) === 0) log.record('workflow-default.release', [registered('release', ++version)])
      if (randomInt(40) === 0 && version > 0) {
        log.record('workflow-default.release', [{ type: 'WorkflowRetired', data: { name: 'release', reason: 'old' } }])
      }
    }
  }
}

export function mixedLog(runs: number): RecordedLog {
  const log = recordedLog()
  mixInto(log)(runs)
  return log
}
