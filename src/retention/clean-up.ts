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
import { type DueRun, dueRuns, type Place, type RunTarget } from './due-runs.ts'
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

/** Another one is at work in the namespace. */
export class CleanUpRunning extends Error {
  constructor(namespace: string) {
    super(`a clean-up or a preview of ${namespace} is under way; ask again when it has ended`)
    this.name = 'CleanUpRunning'
  }
}

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

/** Where a clean-up broke off that had a limit; the next one goes on there. */
export type Progress = { readonly policy: string; readonly target: RunTarget; readonly after: Place }

/**
 * Takes what the policy of the caller's namespace is about, at most about `limit` runs and rows. A target that fails keeps no other from
 * being looked at; the first failure is thrown in the end, with nothing lost.
 * @throws CleanUpStalled | ArchiveUnavailable | StoreUnavailable
 */
export async function cleanUp(
  options: CleanUpOptions,
  { caller, limit, signal, from }: Asked,
): Promise<CleanedUp & { readonly progress: Progress | undefined }> {
  const policy = await options.commands.policyOf(caller.namespace)
  const work = new CleanUp(
    options,
    { caller, limit, signal, from: from?.policy === JSON.stringify(policy) ? from : undefined },
    policy,
  )
  const targets = [
    () => work.runs('streams'),
    () => work.runs('executions'),
    ...agedTables.map((table) => () => work.rows(table)),
  ]
  const failures: unknown[] = []
  for (const take of targets) if (work.goesOn) await take().catch((error: unknown) => void failures.push(error))
  if (failures.length > 0) throw failures[0]
  return { removed: work.removed, done: work.goesOn, progress: work.progress }
}

type Asked = {
  readonly caller: Caller
  readonly limit: number
  readonly signal?: AbortSignal | undefined
  readonly from?: Progress | undefined
}

class CleanUp {
  readonly removed: Partial<Record<RunTarget | AgedTable, number>> = {}
  progress: Progress | undefined
  #left: number
  #changed = false
  readonly #options: CleanUpOptions
  readonly #asked: Asked
  readonly #policy: RetentionPolicy

  constructor(options: CleanUpOptions, asked: Asked, policy: RetentionPolicy) {
    this.#left = asked.limit
    this.#options = options
    this.#asked = asked
    this.#policy = policy
  }

  get goesOn(): boolean {
    return this.#left > 0 && !this.#changed && this.#asked.signal?.aborted !== true
  }

  async runs(target: RunTarget): Promise<void> {
    const { caller, from } = this.#asked
    const { namespace, nowMs } = caller
    // What comes before it in the order of targets was looked through when it broke off.
    if (from?.target === 'executions' && target === 'streams') return
    const after = from?.target === target ? from.after : undefined
    if (after !== undefined) this.progress = from
    for await (const { runs, last } of dueRuns(this.#options.pool, {
      namespace,
      target,
      policy: this.#policy,
      nowMs,
      after,
    })) {
      for (const group of together(runs.slice(0, this.#left))) {
        await this.#lookAtPolicy()
        if (!this.goesOn) return
        const because = ruleInWords(this.#policy[target]![group[0]!.rule]!)
        const ids = group.map(({ id }) => id)
        await (target === 'streams' ? this.#archive(ids, because) : this.#remove(ids, because))
      }
      // Of a page that was not taken whole the rest is found again.
      if (!this.goesOn) return
      this.progress = { policy: JSON.stringify(this.#policy), target, after: last }
    }
    this.progress = undefined
  }

  /** The log is cut once the file is safe, and says so after that: what breaks off in between is archived once more. */
  async #archive(ids: readonly string[], because: string): Promise<void> {
    let runs = new Map<string, readonly RecordedEvent[]>()
    let bytes = 0
    const flush = async (): Promise<void> => {
      await this.#put(runs, because)
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

  async #put(runs: ReadonlyMap<string, readonly RecordedEvent[]>, because: string): Promise<void> {
    const { store, archive } = this.#options
    if (runs.size === 0) return
    const ids = [...runs.keys()]
    const { file, events, bytes } = await archive.write(this.#asked.caller.namespace, [...runs.values()])
    await Promise.all(ids.map((id) => store.truncate(executionStream(id), 1)))
    await this.#record('streams', { type: 'RunsArchived', data: { runs: ids, file, events, bytes, because } })
    this.#count('streams', runs.size)
  }

  /** Nothing of a stream that is not all there, or goes on: the log is right, whatever its row says. */
  async #wholeRun(id: string): Promise<readonly RecordedEvent[] | undefined> {
    const events: RecordedEvent[] = []
    for await (const some of this.#options.store.readStream(executionStream(id))) events.push(...some)
    const isWhole = events.every(({ revision }, at) => revision === at)
    if (isWhole && /^Execution(Completed|Failed|Cancelled)$/.test(events.at(-1)?.type ?? '')) return events
    const text = `run ${id} is not archived: its row says that it has ended, its stream does not`
    this.#options.logger.warn({ execution: id }, text)
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
    const { namespace, nowMs } = this.#asked.caller
    const before = await cutOf(pool, namespace, table, this.#policy, nowMs)
    if (before === undefined) return
    const because = `older than ${durationText(this.#policy[table]!.olderThan)}`
    while (this.goesOn) {
      const step = await dueRows[table].next({ pool, namespace, before })
      await this.#lookAtPolicy()
      if (step === undefined || !this.goesOn) return
      const { rows, ...upTo } = step
      await this.#record(table, { type: 'RowsRemoved', data: { table, ...upTo, because } })
      this.#count(table, rows)
    }
  }

  /** A hold that was set meanwhile holds. */
  async #lookAtPolicy(): Promise<void> {
    const now = await this.#options.commands.policyOf(this.#asked.caller.namespace)
    this.#changed ||= JSON.stringify(now) !== JSON.stringify(this.#policy)
  }

  #count(target: RunTarget | AgedTable, count: number): void {
    this.removed[target] = (this.removed[target] ?? 0) + count
    this.#left -= count
  }

  /** Waits for the rows to be gone: the next look is to find what is left, and the read models are not to fall behind. */
  async #record(target: RunTarget | AgedTable, event: RemovalEvent): Promise<void> {
    const { commands, reached } = this.#options
    const { position } = await commands.record(this.#asked.caller, event)
    if (!(await reached(position, FOLLOW_MS, [PROJECTION_OF[target]]))) throw new CleanUpStalled()
  }
}

/**
 * Runs that go for the same reason, not too many at once, and those that went on for about as long: a file reaches over all the time of
 * its longest run, and who reads the log has every file open that reaches over where it is.
 */
function together(runs: readonly DueRun[]): readonly (readonly DueRun[])[] {
  const kinds = new Map<string, DueRun[]>()
  for (const run of runs) {
    const kind = `${run.rule} ${Math.floor(Math.log10(Math.max(run.tookMs, 1_000)))}`
    const others = kinds.get(kind)
    if (others) others.push(run)
    else kinds.set(kind, [run])
  }
  return [...kinds.values()].flatMap((kind) =>
    Array.from({ length: Math.ceil(kind.length / RUNS_TOGETHER) }, (_, n) =>
      kind.slice(n * RUNS_TOGETHER, (n + 1) * RUNS_TOGETHER),
    ),
  )
}
