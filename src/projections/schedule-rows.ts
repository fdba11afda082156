// The fold of a batch as rows: what was defined within the batch is put in, what is older is merged into what is there.
import { plainText } from './copy.ts'
import type { Write } from './projection.ts'
import type { RunChange, ScheduleChange } from './schedules.ts'

/** A column, the type of its parameter, and what of a change goes into it. */
type Column<T> = readonly [name: string, type: string, of: (change: T) => unknown]

const key: readonly Column<ScheduleChange>[] = [
  ['namespace', 'text', ({ namespace }) => plainText(namespace)],
  ['name', 'text', ({ name }) => plainText(name)],
]
/** What is kept where the batch does not say it. */
const kept: readonly Column<ScheduleChange>[] = [
  ['workflow', 'text', ({ spec }) => spec && plainText(spec.workflow)],
  ['status', 'text', ({ status }) => status],
  ['spec', 'json', ({ spec }) => spec && plainText(JSON.stringify(spec))],
  ['last_nominal_at', 'timestamptz', ({ lastNominalAt }) => lastNominalAt],
  ['last_execution', 'uuid', ({ lastExecution }) => lastExecution],
]
const counted = ['fired', 'completed', 'failed', 'cancelled', 'refused', 'passed'] as const
const added: readonly Column<ScheduleChange>[] = counted.map((name) => [name, 'bigint', (change) => change.added[name]])
const placed: readonly Column<ScheduleChange>[] = [
  ['updated_at', 'timestamptz', ({ updatedAt }) => updatedAt],
  ['revision', 'bigint', ({ revision }) => revision],
  ['position', 'bigint', ({ position }) => position],
]
const decided: Column<ScheduleChange> = ['decided_to', 'timestamptz', ({ decidedTo }) => decidedTo]
const backfill: Column<ScheduleChange> = ['backfill', 'json', (change) => change.backfill ?? null]
const born: readonly Column<ScheduleChange>[] = [
  ['defined_by', 'text', ({ definedBy }) => definedBy],
  ['created_at', 'timestamptz', ({ createdAt }) => createdAt],
]

const defining = [...key, ...kept, ...added, decided, backfill, ...placed, ...born]
const saysBackfill: Column<ScheduleChange> = ['says_backfill', 'bool', (change) => change.backfill !== undefined]
const changing = [...key, ...kept, ...added, decided, backfill, saysBackfill, ...placed]

const namesOf = <T>(columns: readonly Column<T>[]): string => columns.map(([name]) => name).join(', ')
const unnest = <T>(columns: readonly Column<T>[]): string =>
  `unnest(${columns.map(([, type], at) => `$${at + 1}::${type}[]`).join(', ')})`
const set = <T>(columns: readonly Column<T>[], value: (name: string) => string): string =>
  columns.map(([name]) => `${name} = ${value(name)}`).join(', ')

const DEFINE = `
  INSERT INTO schedules AS s (${namesOf(defining)}) SELECT * FROM ${unnest(defining)}
  ON CONFLICT (namespace, name) DO UPDATE SET
    ${set(kept, (name) => `coalesce(excluded.${name}, s.${name})`)},
    ${set(added, (name) => `s.${name} + excluded.${name}`)}, decided_to = greatest(s.decided_to, excluded.decided_to),
    ${set([backfill, ...placed, ...born], (name) => `excluded.${name}`)}`

const CHANGE = `
  UPDATE schedules s SET
    ${set(kept, (name) => `coalesce(u.${name}, s.${name})`)}, ${set(added, (name) => `s.${name} + u.${name}`)},
    decided_to = greatest(s.decided_to, u.decided_to),
    backfill = CASE WHEN u.says_backfill THEN u.backfill ELSE s.backfill END, ${set(placed, (name) => `u.${name}`)}
  FROM ${unnest(changing)} AS u(${namesOf(changing)})
  WHERE s.namespace = u.namespace AND s.name = u.name`

type RunOfSchedule = { readonly of: ScheduleChange; readonly run: RunChange }

const runColumns: readonly Column<RunOfSchedule>[] = [
  ['namespace', 'text', ({ of }) => plainText(of.namespace)],
  ['schedule', 'text', ({ of }) => plainText(of.name)],
  ['nominal_at', 'timestamptz', ({ run }) => run.nominalAt],
  ['execution_id', 'uuid', ({ run }) => run.executionId],
  ['status', 'text', ({ run }) => run.status],
  ['backfill', 'uuid', ({ run }) => run.backfill],
  ['error', 'json', ({ run }) => run.error && plainText(run.error)],
  ['updated_at', 'timestamptz', ({ run }) => run.updatedAt],
]

// A nominal time that runs again, as one of a backfill can, is what it is now; which backfill asked is said at its start.
const runs = (backfill: string): string => `
  INSERT INTO schedule_runs AS r (${namesOf(runColumns)}) SELECT * FROM ${unnest(runColumns)}
  ON CONFLICT (namespace, schedule, nominal_at) DO UPDATE SET
    execution_id = coalesce(excluded.execution_id, r.execution_id), status = excluded.status, error = excluded.error,
    backfill = ${backfill}, updated_at = excluded.updated_at`
const BEGIN_RUNS = runs('excluded.backfill')
const CHANGE_RUNS = runs('coalesce(excluded.backfill, r.backfill)')

/** The writes that bring the two tables from before the batch to after it. */
export function scheduleWrites(changes: readonly ScheduleChange[]): Write[] {
  const all = changes.flatMap((of) => [...of.runs.values()].map((run) => ({ of, run })))
  const isNew = ({ createdAt }: ScheduleChange) => createdAt !== null
  return [
    merge('schedules-define', DEFINE, defining, changes.filter(isNew)),
    merge(
      'schedules-change',
      CHANGE,
      changing,
      changes.filter((change) => !isNew(change)),
    ),
    merge(
      'schedule-runs-begin',
      BEGIN_RUNS,
      runColumns,
      all.filter(({ run }) => run.begun),
    ),
    merge(
      'schedule-runs-change',
      CHANGE_RUNS,
      runColumns,
      all.filter(({ run }) => !run.begun),
    ),
  ].filter(({ count }) => count !== 0)
}

const merge = <T>(name: string, sql: string, columns: readonly Column<T>[], rows: readonly T[]): Write => ({
  kind: 'merge',
  name,
  sql,
  columns: columns.map(([, , of]) => rows.map((row) => of(row) ?? null)),
  count: rows.length,
})
