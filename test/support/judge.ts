// The last word on a system that was tormented and has healed: what its log, its clients, its read models and the world say.
import { join } from 'node:path'
import { FileArchive } from '../../src/adapters/event-store/archive-files.ts'
import { ArchivedEventStore } from '../../src/adapters/event-store/archived.ts'
import { EmbeddedEventStore } from '../../src/adapters/event-store/embedded.ts'
import { startEmbeddedPostgres } from '../../src/adapters/read-models/embedded-postgres.ts'
import { migrate } from '../../src/adapters/read-models/migrate.ts'
import { createPool } from '../../src/adapters/read-models/pool.ts'
import { violations } from '../../src/checker/violations.ts'
import type { RecordedEvent } from '../../src/domain/message.ts'
import type { EventStore } from '../../src/ports/event-store.ts'
import { startProjector } from '../../src/projections/start.ts'
import { createReached } from '../../src/queries/reached.ts'
import type { Struck } from './faults.ts'
import { hashReadModels } from './hash-read-models.ts'
import type { Answer } from './load.ts'
import { query, silent } from './postgres.ts'
import { HEALED_WITHIN_MS, type Scene } from './scene.ts'
import { faultsOfEffects, faultsOfRuns, readEffects } from './verdict.ts'

const REBUILT_WITHIN_MS = 300_000

export type Figures = {
  readonly runs: Readonly<Record<'ok' | 'unknown' | 'refused' | 'failed', number>>
  /** How often a start was answered that nothing was written, also where it was accepted later. */
  readonly refusals: number
  readonly rebuilds: number
  /** Runs whose streams went into the archive. */
  readonly archived: number
  readonly faults: Struck
  readonly events: number
  readonly completed: number
  readonly failed: number
  readonly cancelled: number
  readonly attemptsLost: number
  readonly highestAttempt: number
  readonly sideEffects: number
  readonly violations: number
}

export type Judgement = { readonly found: Found; readonly figures: Figures }

/** All of it at once: what is stuck seldom says why, and a broken invariant often does. */
export type Found = {
  readonly stuck: readonly string[]
  readonly leftovers: readonly string[]
  readonly answers: readonly string[]
  readonly invariants: readonly string[]
  readonly runs: readonly string[]
  readonly effects: readonly string[]
  readonly readModels: readonly string[]
}
export const nothing: Found = {
  ...{ stuck: [], leftovers: [], answers: [], invariants: [], runs: [], effects: [], readModels: [] },
}

/** @param stuck what had not ended when it was time; the program has been ended */
export async function judge(scene: Scene, stuck: readonly string[], struck: Struck): Promise<Judgement> {
  const { home, load } = scene
  const leftovers = (await home.leftovers()).map(({ pid, command }) => `${pid} ${command}`)
  const archive = new FileArchive(join(home.data, 'archive'))
  const store = new ArchivedEventStore(await EmbeddedEventStore.open(scene.log), archive)
  try {
    const events = await eventsOf(store)
    const effects = await readEffects(home.effects)
    const found = {
      ...{ stuck, leftovers, answers: load.faults },
      invariants: violations(events, { healed: true, cancelWithinMs: HEALED_WITHIN_MS }),
      runs: faultsOfRuns(load.runs, events),
      effects: faultsOfEffects(effects, events),
      readModels: await faultsOfReadModels(home.data, store),
    }
    const violated = Object.values(found).reduce((sum, { length }) => sum + length, 0)
    const figures = { ...figuresOf(scene, struck, events), sideEffects: effects.length, violations: violated }
    return { found, figures }
  } finally {
    await store.close()
  }
}

function figuresOf({ load, rebuilds }: Scene, faults: Struck, events: readonly RecordedEvent[]) {
  const answered = (wanted: Answer): number => load.runs.filter(({ started }) => started === wanted).length
  const attempts = events.map(({ data }) => ('attempt' in data ? Number(data.attempt) : 0))
  return {
    runs: {
      ok: answered('ok'),
      unknown: answered('unknown'),
      refused: answered('refused'),
      failed: answered('failed'),
    },
    refusals: load.refusals,
    rebuilds,
    archived: archivedIn(events),
    faults,
    events: events.length,
    completed: count(events, 'ExecutionCompleted'),
    failed: count(events, 'ExecutionFailed'),
    cancelled: count(events, 'ExecutionCancelled'),
    attemptsLost: events.filter(
      ({ type, data }) => type === 'StageRetried' && 'reason' in data && data.reason === 'lost',
    ).length,
    highestAttempt: attempts.reduce((most, attempt) => Math.max(most, attempt), 0),
  }
}

/** How many runs of the log have gone into the archive. */
export const archivedIn = (events: readonly RecordedEvent[]): number =>
  events.reduce(
    (sum, { type, data }) => sum + (type === 'RunsArchived' ? (data as { runs: unknown[] }).runs.length : 0),
    0,
  )

/** How many runs the log has brought to their end, while a program may be working with it. */
export async function completedIn(log: string): Promise<number> {
  const store = await EmbeddedEventStore.open(log)
  try {
    return count(await eventsOf(store), 'ExecutionCompleted')
  } finally {
    await store.close()
  }
}

const count = (events: readonly RecordedEvent[], wanted: string): number =>
  events.filter(({ type }) => type === wanted).length

async function eventsOf(store: EventStore): Promise<readonly RecordedEvent[]> {
  const events: RecordedEvent[] = []
  for await (const batch of store.readAll()) events.push(...batch)
  return events
}

/**
 * Rows that grew through every fault equal those of one reading of the log into an empty database. What was written last is
 * the end of the worker, which comes after the projector's.
 */
async function faultsOfReadModels(data: string, store: EventStore): Promise<readonly string[]> {
  const postgres = await startEmbeddedPostgres(data, silent)
  const grown = createPool(postgres.url)
  await query(postgres.url, 'CREATE DATABASE rebuilt')
  const url = new URL(postgres.url)
  url.pathname = '/rebuilt'
  await migrate(url.href)
  const rebuilt = createPool(url.href)
  const stop = new AbortController()
  const pools = [grown, rebuilt]
  const projecting = pools.map((pool) => startProjector({ store, pool, logger: silent, signal: stop.signal }))
  try {
    const head = await store.head()
    for (const pool of pools)
      if (!(await createReached(pool)(head, REBUILT_WITHIN_MS))) return ['the read models are late']
    const [was, is] = await Promise.all([hashReadModels(grown), hashReadModels(rebuilt)])
    const tables = new Set([...Object.keys(was), ...Object.keys(is)])
    return [...tables].filter((table) => was[table] !== is[table]).map((table) => `${table} differs from a rebuilt one`)
  } finally {
    stop.abort()
    await Promise.all(projecting.map(({ stopped }) => stopped))
    await Promise.all(pools.map((pool) => pool.end()))
    await postgres.stop()
  }
}
