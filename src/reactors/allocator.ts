import type { Allocation } from '../commands/allocation.ts'
import type { Blocker, ExecutionEvent } from '../domain/execution/events.ts'
import type { Json, RecordedEvent } from '../domain/message.ts'
import { type Amounts, minus, NOTHING, plus, shortOf } from '../domain/pool/amounts.ts'
import type { Held, Holder } from '../domain/pool/events.ts'
import { holderKey } from '../domain/pool/holders.ts'
import type { Clock } from '../ports/clock.ts'
import { Allocations, type SeenEvent } from './allocations.ts'
import { type Asking, type Dump, namespaceOf, type PoolSeen, type Surplus } from './asking.ts'
import { carryOut, take } from './carry-out.ts'
import type { Reactor } from './reactor.ts'

/** How many of those in the way are named. */
const MOST_BLOCKERS = 5
/** How many grants are asked for before what they lead to is looked at. */
const GRANTED_TOGETHER = 256

export type Allocator = Reactor & {
  /** Whether it knows of an attempt, or a run, that has asked and has not ended. */
  knows(holder: Holder): boolean
  /** Streams of the pools and groups that it knows. */
  streams(): readonly string[]
  /** Takes up who asks and was lost sight of. */
  takeUp(event: RecordedEvent<ExecutionEvent>): Promise<void>
  /** Has a pool take back what its holder does not use any more. */
  giveBack(stream: string, held: Pick<Held, 'holder' | 'fence'>): Promise<void>
}

/**
 * Log → pools and groups, and back: it has them grant what fits to whom it is due, tells those who asked, takes back what is not
 * used any more, and says why who waits does. A pool decides by itself whether it has as much, so two allocators at once are
 * harmless.
 */
export function createAllocator({ tellPool, tellExecution }: Allocation, clock: Pick<Clock, 'now'>): Allocator {
  const seen = new Allocations()

  async function act(caughtUp: boolean): Promise<void> {
    if (!caughtUp) return
    await carryOut(take(seen.surplus), giveBack, ([key, surplus]) => seen.surplus.set(key, surplus))
    await carryOut(take(seen.dirty), allocate, (pool) => seen.dirty.add(pool))
    await carryOut(take(seen.granted), admit, (asking) => seen.granted.add(asking))
    await carryOut(take(seen.untold), explain, (asking) => seen.untold.add(asking))
  }

  const giveBack = async ([, { pool, share, causationId }]: [string, Surplus]): Promise<void> => {
    const { holder, fence } = share
    const cause = { namespace: pool.namespace, executionId: holder.executionId, causationId }
    await tellPool(pool.stream, { type: 'ReleaseCapacity', holder, fence }, cause)
  }

  async function allocate(pool: PoolSeen): Promise<void> {
    const { capacity, line } = pool
    await refuse(pool)
    if (capacity === undefined) return
    let free = freeIn(pool)
    const chosen: Asking[] = []
    while (chosen.length < GRANTED_TOGETHER) {
      const next = line.next(free)
      if (next === undefined) break
      line.remove(next.key)
      line.served(next.flow, clock.now(), Number.MAX_SAFE_INTEGER)
      pool.requested.set(next.key, next.amounts)
      free = minus(free, next.amounts)
      chosen.push(next)
    }
    if (chosen.length === GRANTED_TOGETHER) seen.dirty.add(pool)
    await carryOut(
      chosen,
      (asking) => ask(asking, pool),
      (asking) => retract(asking, pool),
    )
    reconsider(pool)
  }

  async function ask(asking: Asking, pool: PoolSeen): Promise<void> {
    const { holder, amounts, concurrency } = asking
    const group = concurrency && { name: concurrency.group, limit: concurrency.limit }
    const command = { type: 'GrantCapacity', holder, amounts, ...(group ? { group } : {}) } as const
    const refused = await tellPool(asking.stream, command, causeOf(asking))
    // It is less free than was read: what made it so is about to be read, and brings the request up again.
    if (refused) retract(asking, pool)
  }

  function retract(asking: Asking, pool: PoolSeen): void {
    pool.requested.delete(asking.key)
    if (seen.find(asking.holder, asking.key) === undefined) return
    const isDirty = seen.dirty.has(pool)
    seen.enqueue(asking)
    if (!isDirty) seen.dirty.delete(pool)
  }

  /** What asks for more than there will ever be waits for nothing. */
  async function refuse(pool: PoolSeen): Promise<void> {
    const { capacity, line } = pool
    if (pool.stream.startsWith('group-')) return
    const refused = capacity === undefined ? line.values() : line.tooLarge(capacity)
    for (const { key } of refused) line.remove(key)
    await carryOut(
      refused,
      (asking) => refuseOne(asking, capacity),
      (asking) => seen.enqueue(asking),
    )
  }

  async function refuseOne(asking: Asking, capacity: Amounts | undefined): Promise<void> {
    const { holder, pool, amounts } = asking
    const { stage = '', attempt = 0 } = holder
    const error =
      capacity === undefined
        ? {
            code: 'POOL_UNKNOWN',
            message: `there is no pool ${JSON.stringify(pool)} in this namespace`,
            retryable: false,
          }
        : {
            code: 'POOL_TOO_SMALL',
            message: `it asks for more than all of the pool ${pool}: ${shortOf(amounts, capacity).join(', ')}`,
            retryable: false,
          }
    await tellExecution({ type: 'RefuseStage', stage, attempt, error }, causeOf(asking))
  }

  async function admit(asking: Asking): Promise<void> {
    const { holder, pool: name, key } = asking
    const pool = seen.poolOf(asking)
    const share = pool.shares.get(key)
    if (share === undefined) return
    const grant = { pool: name, fence: share.fence }
    const cause = { ...causeOf(asking), causationId: share.grantedBy }
    const { stage, attempt = 0 } = holder
    const refused = await tellExecution(
      stage === undefined ? { type: 'AdmitExecution', grant } : { type: 'AdmitStage', stage, attempt, grant },
      cause,
    )
    // It has ended meanwhile, or its run is paused.
    if (refused) await giveBack([key, { pool, share, causationId: share.grantedBy }])
  }

  async function explain(asking: Asking): Promise<void> {
    const pool = seen.poolOf(asking)
    if (!pool.line.has(asking.key)) return
    const { stage, attempt = 0 } = asking.holder
    const blockers = holdersOf(pool)
    if (stage === undefined) {
      if (isAboutToMove(pool)) {
        seen.untold.add(asking)
        return
      }
      await meetConflict(asking, pool)
      await tellExecution({ type: 'DeferExecution', blockers }, causeOf(asking))
      return
    }
    const { reason, short } = reasonOf(asking, pool)
    const said = short.length === 0 ? { blockers: ahead(asking, pool, blockers) } : { short, blockers }
    await tellExecution({ type: 'DeferStage', stage, attempt, reason, ...said }, causeOf(asking))
  }

  /** Somebody who has ended holds a place yet: nobody gives way for that, and what comes next says that it is free. */
  const isAboutToMove = ({ shares }: PoolSeen): boolean =>
    shares.entries().some(([key, { holder }]) => seen.find(holder, key) === undefined)

  /** Of all who wait, the first alone is looked at again: a grant must not cost more the more there are. */
  function reconsider(pool: PoolSeen): void {
    const asking = pool.line.first()
    if (asking === undefined) return
    const isTold = asking.told !== undefined && asking.holder.stage !== undefined
    if (isTold && reasonOf(asking, pool).reason !== asking.told) seen.untold.add(asking)
  }

  /** The run that finds its group full gives way, or those before it do. */
  async function meetConflict(asking: Asking, pool: PoolSeen): Promise<void> {
    const { concurrency } = asking
    if (concurrency?.onConflict === 'reject') {
      const reason = `${concurrency.limit} of the concurrency group ${concurrency.group} are under way, which is its limit`
      await tellExecution({ type: 'CancelExecution', reason }, causeOf(asking))
    }
    if (concurrency?.onConflict !== 'cancel-running') return
    const surplus = Math.max(pool.inUse.slots + 1 - concurrency.limit, 0)
    const running = [...pool.shares.values()].slice(0, surplus).map(({ holder }) => holder.executionId)
    const waiting = pool.line.values().filter(({ position }) => position < asking.position)
    const reason = `execution ${asking.holder.executionId} takes its place in the concurrency group ${concurrency.group}`
    for (const executionId of [...running, ...waiting.map(({ holder }) => holder.executionId)])
      await tellExecution({ type: 'CancelExecution', reason }, { ...causeOf(asking), executionId })
  }

  const freeIn = (pool: PoolSeen): Amounts =>
    minus(minus(pool.capacity ?? NOTHING, pool.inUse), [...pool.requested.values()].reduce(plus, NOTHING))

  function reasonOf({ amounts }: Asking, pool: PoolSeen) {
    const short = shortOf(amounts, freeIn(pool))
    return { reason: short.length > 0 ? 'capacity' : 'turn', short } as const
  }

  return {
    name: 'allocator',
    version: 2,
    prefixes: ['execution-', 'pool-', 'group-'],
    apply: (event) => seen.apply(event as SeenEvent),
    act,
    knows: (holder) => seen.find(holder, holderKey(holder)) !== undefined,
    streams: () => seen.streams(),
    takeUp(event) {
      seen.apply(event)
      return act(true)
    },
    async giveBack(stream, { holder, fence }) {
      const cause = { namespace: namespaceOf(stream), executionId: holder.executionId }
      await tellPool(stream, { type: 'ReleaseCapacity', holder, fence }, cause)
    },
    dump: () => seen.dump() as unknown as Json,
    restore: (state) => seen.restore(state as unknown as Dump),
  }
}

const causeOf = ({ namespace, holder, askedBy }: Asking) => ({
  namespace,
  executionId: holder.executionId,
  causationId: askedBy,
})

function holdersOf({ shares }: PoolSeen): readonly Blocker[] {
  return [...shares.values().take(MOST_BLOCKERS)].map(({ holder: { executionId, stage } }) => ({
    executionId,
    ...(stage === undefined ? {} : { stage }),
  }))
}

/** Where there is enough, what is free is meant for whoever comes first. */
function ahead({ key }: Asking, { line }: PoolSeen, holders: readonly Blocker[]): readonly Blocker[] {
  const first = line.first()
  if (first === undefined || first.key === key) return holders
  const { executionId, stage } = first.holder
  return [{ executionId, ...(stage === undefined ? {} : { stage }) }]
}
