import { setTimeout as delay } from 'node:timers/promises'
import type { Caller } from '../commands/caller.ts'
import type { RetentionPolicy } from '../domain/retention/policy.ts'
import type { Archive } from '../ports/archive.ts'
import type { Clock } from '../ports/clock.ts'
import { projections } from '../projections/all.ts'
import { type CleanedUp, type CleanUpOptions, CleanUpRunning, cleanUp, type Progress } from './clean-up.ts'
import { type DueOfTarget, previewOf } from './preview.ts'
import { type Recommendation, recommend, sizesOf, type TableSize, type TargetSize, targetSizes } from './statistics.ts'
import { unarchive } from './unarchive.ts'

export type RetentionOptions = CleanUpOptions & { readonly archive: Archive; readonly clock: Clock }

/** How things stand with what a namespace keeps. */
export type RetentionView = {
  readonly policy: RetentionPolicy
  readonly targets: readonly TargetSize[]
  readonly recommendations: readonly Recommendation[]
}
/** Of all namespaces. */
export type StorageView = {
  readonly tables: readonly TableSize[]
  readonly archive: { readonly files: number; readonly bytes: number }
}

/** How much a clean-up takes between two looks at whether it is to stop. */
const AT_ONCE = 1_000
/** What runs has the machine to itself in between. */
const REST_MS = 200
const TABLES = [...projections.flatMap(({ tables }) => tables), 'stage_logs']

export function createRetention(options: RetentionOptions) {
  const { pool, archive, commands, clock, logger } = options

  /** Where clean-ups broke off, by namespace; and in which of them one is at work here. */
  const broken = new Map<string, Progress | undefined>()
  const busy = new Set<string>()

  /** One at a time: each reads through what may be a large table. */
  async function alone<T>(namespace: string, work: () => Promise<T>): Promise<T> {
    if (busy.has(namespace)) throw new CleanUpRunning(namespace)
    busy.add(namespace)
    try {
      return await work()
    } finally {
      busy.delete(namespace)
    }
  }

  const cleanUpSome = (caller: Caller, limit: number, signal?: AbortSignal): Promise<CleanedUp> =>
    alone(caller.namespace, async () => {
      const from = broken.get(caller.namespace)
      broken.delete(caller.namespace)
      const { progress, ...cleaned } = await cleanUp(options, { caller, limit, signal, from })
      if (!cleaned.done && progress !== undefined) broken.set(caller.namespace, progress)
      return cleaned
    })

  async function cleanUpAll(signal: AbortSignal): Promise<void> {
    const { rows } = await pool.query<{ namespace: string }>('SELECT namespace FROM audit_chains ORDER BY namespace')
    for (const { namespace } of rows)
      await cleanUpOne(namespace, signal).catch((err: Error) => {
        if (!signal.aborted) logger.warn({ namespace, err }, `the clean-up of ${namespace} broke off: ${err.message}`)
      })
  }

  async function cleanUpOne(namespace: string, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const caller: Caller = { namespace, actor: 'system:retention', nowMs: clock.now() }
      const { removed, done } = await cleanUpSome(caller, AT_ONCE, signal)
      if (Object.keys(removed).length > 0) logger.info({ namespace, removed }, `cleaned up in ${namespace}`)
      if (done) return
      await delay(REST_MS, undefined, { signal })
    }
  }

  return {
    view: async (namespace: string): Promise<RetentionView> => {
      const policy = await commands.policyOf(namespace)
      const targets = await targetSizes(pool, namespace)
      return { policy, targets, recommendations: await recommend(pool, namespace, policy, targets) }
    },
    storage: async (): Promise<StorageView> => ({
      tables: await sizesOf(pool, TABLES),
      archive: await archive.statistics(),
    }),
    /** What a clean-up would take by the policy that holds, or by another. */
    preview: (namespace: string, policy?: RetentionPolicy): Promise<readonly DueOfTarget[]> =>
      alone(namespace, async () =>
        previewOf(pool, { namespace, policy: policy ?? (await commands.policyOf(namespace)), nowMs: clock.now() }),
      ),
    cleanUp: (caller: Caller, limit: number): Promise<CleanedUp> => cleanUpSome(caller, limit),
    unarchive: (caller: Caller, id: string) => unarchive(options, caller, id),

    /** Cleans up in every namespace that has a policy, again and again. */
    start(everyMs: number) {
      const stop = new AbortController()
      const work = async (): Promise<void> => {
        while (!stop.signal.aborted) {
          await delay(everyMs, undefined, { signal: stop.signal })
          await cleanUpAll(stop.signal).catch((err: Error) => {
            if (!stop.signal.aborted) logger.warn({ err }, `the clean-up cannot be done now: ${err.message}`)
          })
        }
      }
      const ended = work().catch((error: Error) => {
        if (!stop.signal.aborted) throw error
      })
      return {
        async stop(): Promise<void> {
          stop.abort()
          await ended
        },
      }
    },
  }
}
