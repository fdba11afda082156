// A clean-up: a few runs or rows at a time, each on record before it is gone from the read models. Nothing is lost where it breaks off,
// and two at once do no harm: what one has taken the other finds taken.
import type { Pool } from 'pg'
import type { Caller } from '../commands/caller.ts'
import type { RetentionCommands } from '../commands/retention.ts'
import { executionStream } from '../domain/execution/events.ts'
import type { RecordedEvent } from '../domain/message.ts'
import type { RemovalEvent } from '../domain/retention/events.ts'
import { type AgedTable, agedTables, type RetentionPolicy } from '../domain/retention/policy.ts'
import { ruleInWords } from '../domain/retention/written.ts'
import { durationText } from '../domain/workflow/units.ts'
import type { Archive } from '../ports/archive.ts'
import type { EventStore } from '../ports/event-store.ts'
import type { Logger } from '../ports/logger.ts'
import type { StageLogs } from '../ports/stage-logs.ts'
import { dueRows } from './due-rows.ts'
import { type DueRun, dueRuns, type RunTarget } from './due-runs.ts'
import { cutOf } from './preview.ts'

export type CleanUpOptions = {
  readonly pool: Pool
  readonly store: Pick<EventStore, 'readStream' | 'truncate' | 'putBack'>
  readonly archive: Pick<Archive, 'write'>
  readonly logs: Pick<StageLogs, 'remove'>
  readonly commands: Pick<RetentionCommands, 'policyOf' | 'record'>
  readonly logger: Logger
  /** Whether the read models have reached a position in time. */
  reached(position: number, waitMs: number, names?: readonly string[]): Promise<boolean>
}

/** How many runs or rows of each went. `done` is false where the limit came first. */
export type CleanedUp = { readonly removed: Partial<Record<RunTarget | AgedTable, number>>; readonly done: boolean }

/** The read models do not follow, so that it cannot be seen what has gone. */
export class CleanUpStalled extends Error {
  constructor() {
    super('the clean-up has stopped: the read models do not follow the log; see /v1/admin/projections')
    this.name = 'CleanUpStalled'
  }
}

/** Of the events of a file, as text: a file is read whole. */
const FILE_BYTES = 4 * 1_048_576
const RUNS_TOGETHER = 250
const FOLLOW_MS = 30_000
const PROJECTION_OF: Readonly<Record<RunTarget | AgedTable, string>> = {
  streams: 'executions',
  executions: 'executions',
  audit: 'events',
  analyticsByHour: 'executions',
  analyticsByDay: 'executions',
  pools: 'pools',
  scheduleRuns: 'schedules',
}

/**
 * Takes what the policy of the caller's namespace is about, at most about `limit` runs and rows.
 * @throws CleanUpStalled | ArchiveUnavailable | StoreUnavailable with nothing lost
 */
export async function cleanUp(
  options: CleanUpOptions,
  { caller, limit, signal }: { readonly caller: Caller; readonly limit: number; readonly signal?: AbortSignal },
): Promise<CleanedUp> {
  const policy = await options.commands.policyOf(caller.namespace)
  const work = new CleanUp(options, caller, policy, limit, signal)
  const targets = [
    () => work.runs('streams'),
    () => work.runs('executions'),
    ...agedTables.map((table) => () => work.rows(table)),
  ]
  for (const take of targets) if (work.left > 0) await take()
  return { removed: work.removed, done: work.left > 0 && !signal?.aborted }
}

class CleanUp {
  left: number
  readonly removed: Partial<Record<RunTarget | AgedTable, number>> = {}
  readonly #options: CleanUpOptions
  readonly #caller: Caller
  readonly #policy: RetentionPolicy
  readonly #signal: AbortSignal | undefined

  constructor(options: CleanUpOptions, caller: Caller, policy: RetentionPolicy, limit: number, signal?: AbortSignal) {
    this.left = limit
    this.#options = options
    this.#caller = caller
    this.#policy = policy
    this.#signal = signal
  }

  async runs(target: RunTarget): Promise<void> {
    const { namespace, nowMs } = this.#caller
    for await (const page of dueRuns(this.#options.pool, { namespace, target, policy: this.#policy, nowMs }))
      for (const runs of together(page.slice(0, this.left))) {
        if (this.#signal?.aborted) return
        const because = ruleInWords(this.#policy[target]![runs[0]!.rule]!)
        const ids = runs.map(({ id }) => id)
        await (target === 'streams' ? this.#archive(ids, because) : this.#remove(ids, because))
        if (this.left <= 0) return
      }
  }

  /** The log is cut once the file is safe, and says so after that: what breaks off in between is archived once more. */
  async #archive(ids: readonly string[], because: string): Promise<void> {
    const { store, archive } = this.#options
    const { namespace } = this.#caller
    let runs = new Map<string, readonly RecordedEvent[]>()
    let bytes = 0
    const flush = async (): Promise<void> => {
      if (runs.size === 0) return
      const { file, events, bytes: compressed } = await archive.write(namespace, [...runs.values()])
      await Promise.all([...runs.keys()].map((id) => store.truncate(executionStream(id), 1)))
      const data = { runs: [...runs.keys()], file, events, bytes: compressed, because }
      await this.#record('streams', { type: 'RunsArchived', data })
      this.#count('streams', runs.size)
      runs = new Map()
      bytes = 0
    }
    for (const id of ids) {
      const events = await this.#wholeRun(id)
      if (events === undefined) continue
      runs.set(id, events)
      bytes += events.reduce((sum, { data, metadata }) => sum + JSON.stringify([data, metadata]).length, 0)
      if (bytes >= FILE_BYTES) await flush()
    }
    await flush()
  }

  /** Nothing of a stream that is not all there, or goes on: the log is right, whatever its row says. */
  async #wholeRun(id: string): Promise<readonly RecordedEvent[] | undefined> {
    const events: RecordedEvent[] = []
    for await (const some of this.#options.store.readStream(executionStream(id))) events.push(...some)
    const isWhole = events.every(({ revision }, at) => revision === at)
    if (isWhole && /^Execution(Completed|Failed|Cancelled)$/.test(events.at(-1)?.type ?? '')) return events
    this.#options.logger.warn(
      { execution: id },
      `run ${id} is not archived: its row says that it has ended, its stream does not`,
    )
    return undefined
  }

  async #remove(ids: readonly string[], because: string): Promise<void> {
    // First what nobody would find any more.
    await Promise.all(ids.map((id) => this.#options.logs.remove(id)))
    await this.#record('executions', { type: 'RunsRemoved', data: { runs: ids, because } })
    this.#count('executions', ids.length)
  }

  async rows(table: AgedTable): Promise<void> {
    const { pool } = this.#options
    const { namespace, nowMs } = this.#caller
    const before = await cutOf(pool, namespace, table, this.#policy, nowMs)
    if (before === undefined) return
    const because = `older than ${durationText(this.#policy[table]!.olderThan)}`
    while (this.left > 0 && !this.#signal?.aborted) {
      const step = await dueRows[table].next({ pool, namespace, before })
      if (step === undefined) return
      const { rows, ...upTo } = step
      await this.#record(table, { type: 'RowsRemoved', data: { table, ...upTo, because } })
      this.#count(table, rows)
    }
  }

  #count(target: RunTarget | AgedTable, count: number): void {
    this.removed[target] = (this.removed[target] ?? 0) + count
    this.left -= count
  }

  /** Waits for the rows to be gone: the next look is to find what is left, and the read models are not to fall behind. */
  async #record(target: RunTarget | AgedTable, event: RemovalEvent): Promise<void> {
    const { commands, reached } = this.#options
    const { position } = await commands.record(this.#caller, event)
    if (!(await reached(position, FOLLOW_MS, [PROJECTION_OF[target]]))) throw new CleanUpStalled()
  }
}

/** Runs that go for the same reason, not too many at once. */
function together(runs: readonly DueRun[]): readonly (readonly DueRun[])[] {
  const groups: DueRun[][] = []
  for (const run of runs) {
    const last = groups.at(-1)
    if (last === undefined || last.length >= RUNS_TOGETHER || last[0]!.rule !== run.rule) groups.push([run])
    else last.push(run)
  }
  return groups
}
