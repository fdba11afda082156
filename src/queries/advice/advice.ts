// What recorded runs say about the workflow they ran: pure, from plain rows to findings.
import type { CompiledWorkflow } from '../../domain/workflow/definition.ts'
import { findAttempts } from './attempts.ts'
import { type RecordedPath, recordedPath } from './critical-path.ts'
import type { Finding } from './findings.ts'
import { findParallel } from './parallel.ts'
import type { RecordedRun } from './recorded-run.ts'

export type Advice = {
  readonly workflow: string
  readonly version: number
  /** How many ended runs were looked at. */
  readonly runs: number
  /** Starts of the oldest and of the newest of them, ISO 8601. */
  readonly from?: string
  readonly to?: string
  /** Of the runs that completed; left out where none did. */
  readonly criticalPath?: RecordedPath
  readonly findings: readonly Finding[]
  /** Why there could be more to say than is said. */
  readonly note?: string
}

/** With fewer the 95th percentile is but the longest run, and one bad day is all there is to see. */
export const MIN_RUNS = 20

export function adviseOn(version: number, definition: CompiledWorkflow, runs: readonly RecordedRun[]): Advice {
  const enough = runs.length >= MIN_RUNS
  const starts = runs.map(({ startedMs }) => startedMs)
  const at = (ms: number): string => new Date(ms).toISOString()
  const path = recordedPath(definition, runs)
  const findings = enough ? [...findAttempts(definition, runs), ...findParallel(definition, runs)] : []
  return {
    workflow: definition.name,
    version,
    runs: runs.length,
    ...(runs.length === 0 ? {} : { from: at(Math.min(...starts)), to: at(Math.max(...starts)) }),
    ...(path ? { criticalPath: path } : {}),
    findings: [...findings.filter(isWarning), ...findings.filter((finding) => !isWarning(finding))],
    ...(enough ? {} : { note: tooFew(runs.length) }),
  }
}

const isWarning = ({ severity }: Finding): boolean => severity === 'warning'
const tooFew = (runs: number): string =>
  `Findings take at least ${MIN_RUNS} ended runs of this version; so far there ${runs === 1 ? 'is 1' : `are ${runs}`}.`
