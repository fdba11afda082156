// What the log says of pools and groups, and of those who wait for a part of them or hold one.
import { groupIdFor } from '../commands/fingerprint.ts'
import type { Concurrency, ExecutionEvent, ExecutionEventOf } from '../domain/execution/events.ts'
import { parseStream, type RecordedEvent } from '../domain/message.ts'
import { NOTHING } from '../domain/pool/amounts.ts'
import { groupStream, type Holder, type PoolEvent, poolStream } from '../domain/pool/events.ts'
import { holderKey } from '../domain/pool/holders.ts'
import { type Asking, type Dump, namespaceOf, type PoolSeen, requestOf, type Share, type Surplus } from './asking.ts'
import { WaitingLine } from './waiting-line.ts'

type Run = { paused: boolean; readonly asking: Map<string, Asking> }

export type SeenEvent = RecordedEvent<ExecutionEvent> | RecordedEvent<PoolEvent>

/** A run of a group stands for itself; stages have names. */
const THE_RUN = ''

export class Allocations {
  readonly #pools = new Map<string, PoolSeen>()
  readonly #runs = new Map<string, Run>()
  /** What may want something done: pools of which something has become free or is asked, and those who are to hear of something. */
  readonly dirty = new Set<PoolSeen>()
  readonly granted = new Set<Asking>()
  readonly surplus = new Map<string, Surplus>()
  readonly untold = new Set<Asking>()

  apply(event: SeenEvent): void {
    if (event.stream.startsWith('execution-')) this.#ofExecution(event as RecordedEvent<ExecutionEvent>)
    else this.#ofPool(event as RecordedEvent<PoolEvent>)
  }

  /** Who asks, while the log has not said that it waits no more. */
  find({ executionId, stage = THE_RUN }: Holder, key: string): Asking | undefined {
    const asking = this.#runs.get(executionId)?.asking.get(stage)
    return asking?.key === key ? asking : undefined
  }

  /** It is there as long as somebody asks it, or holds a part of it. */
  poolOf({ stream }: Pick<Asking, 'stream'>): PoolSeen {
    return this.#pools.get(stream)!
  }

  streams(): readonly string[] {
    return [...this.#pools.keys()]
  }

  /** Puts a request into its line, unless it holds what it asked for or its run is paused. */
  enqueue(asking: Asking): void {
    const pool = this.poolOf(asking)
    const isPaused = this.#runs.get(asking.holder.executionId)?.paused
    if (pool.shares.has(asking.key) || isPaused) return
    pool.line.add(asking)
    this.dirty.add(pool)
    if (asking.told === undefined) this.untold.add(asking)
  }

  #ofPool(event: RecordedEvent<PoolEvent>): void {
    const pool = this.#pool(event.stream)
    pool.capacity = event.data.capacity
    pool.inUse = event.type === 'PoolDefined' ? NOTHING : event.data.inUse
    this.dirty.add(pool)
    if (event.type === 'CapacityGranted') this.#grant(pool, event)
    if (event.type === 'CapacityReleased') this.#release(pool, event.data.holder)
  }

  #release(pool: PoolSeen, holder: Holder): void {
    const key = holderKey(holder)
    pool.shares.delete(key)
    this.surplus.delete(surplusKey(pool, key))
    // It was given back without having been used, as when the run was paused.
    const asking = this.find(holder, key)
    if (asking && !asking.admitted) this.enqueue(asking)
    this.#forget(pool)
  }

  #grant(pool: PoolSeen, { id, at, position, data }: Extract<RecordedEvent<PoolEvent>, { type: 'CapacityGranted' }>) {
    const { holder, fence } = data
    const key = holderKey(holder)
    const share: Share = { holder, fence, grantedBy: id }
    pool.shares.set(key, share)
    // It is in use now, and counted there.
    pool.requested.delete(key)
    const asking = this.find(holder, key)
    if (asking === undefined) {
      this.#giveBack(pool, key, id)
      return
    }
    pool.line.remove(key)
    pool.line.served(asking.flow, Date.parse(at), position)
    this.untold.delete(asking)
    this.granted.add(asking)
  }

  #ofExecution(event: RecordedEvent<ExecutionEvent>): void {
    const { id } = parseStream(event.stream)
    switch (event.type) {
      case 'ExecutionStarted':
        if (event.data.concurrency) this.#runAsks(id, event.data.concurrency, event)
        return
      case 'StageDeferred':
        this.#stageAsks(id, event)
        return
      case 'ExecutionDeferred':
        this.#tell(id, THE_RUN, event.data.reason)
        return
      case 'ExecutionAdmitted':
        this.#admit(id, THE_RUN)
        return
      case 'StageScheduled':
        if (event.data.grant) this.#admit(id, event.data.stage)
        return
      case 'StageCompleted':
      case 'StageFailed':
      case 'StageCancelled':
      case 'StageSkipped':
        this.#end(id, event.data.stage, event.id)
        return
      case 'StagesGenerated':
        this.#end(id, event.data.parent, event.id)
        return
      case 'ExecutionPaused':
      case 'ExecutionResumed':
        this.#pause(id, event.type === 'ExecutionPaused')
        return
      case 'ExecutionCompleted':
      case 'ExecutionFailed':
      case 'ExecutionCancelled':
        for (const stage of this.#runs.get(id)?.asking.keys() ?? []) this.#end(id, stage, event.id)
        return
      default:
        return
    }
  }

  #runAsks(
    executionId: string,
    concurrency: Concurrency,
    event: RecordedEvent<ExecutionEventOf<'ExecutionStarted'>>,
  ): void {
    const { workflow, priority } = event.data
    const { group, limit } = concurrency
    const amounts = { ...NOTHING, slots: 1 }
    const stream = groupStream(event.metadata.namespace, groupIdFor(group))
    this.#pool(stream).capacity = { ...NOTHING, slots: limit }
    const request = requestOf({ executionId }, { workflow, priority, amounts }, event)
    this.#asks({ ...request, stream, pool: group, concurrency })
  }

  #stageAsks(executionId: string, event: RecordedEvent<ExecutionEventOf<'StageDeferred'>>): void {
    const { stage, attempt, pool, reason } = event.data
    if (reason !== 'asked') {
      this.#tell(executionId, stage, reason)
      return
    }
    const stream = poolStream(event.metadata.namespace, pool)
    this.#asks({ ...requestOf({ executionId, stage, attempt }, event.data, event), stream, pool })
  }

  #asks(asked: Omit<Asking, 'admitted'>): void {
    const { executionId, stage = THE_RUN } = asked.holder
    const before = this.#runs.get(executionId)?.asking.get(stage)
    if (before?.key === asked.key) return
    if (before) this.#end(executionId, stage, asked.askedBy)
    const asking: Asking = { ...asked, admitted: false }
    this.#keep(asking)
    this.enqueue(asking)
  }

  #keep(asking: Asking): void {
    const { executionId, stage = THE_RUN } = asking.holder
    this.#run(executionId).asking.set(stage, asking)
    this.#pool(asking.stream).askings++
  }

  #tell(executionId: string, stage: string, reason: NonNullable<Asking['told']>): void {
    const asking = this.#runs.get(executionId)?.asking.get(stage)
    if (asking === undefined) return
    asking.told = reason
    this.untold.delete(asking)
  }

  #admit(executionId: string, stage: string): void {
    const asking = this.#runs.get(executionId)?.asking.get(stage)
    if (asking === undefined) return
    asking.admitted = true
    this.granted.delete(asking)
  }

  #end(executionId: string, stage: string, causationId: string): void {
    const run = this.#runs.get(executionId)
    const asking = run?.asking.get(stage)
    if (run === undefined || asking === undefined) return
    run.asking.delete(stage)
    if (run.asking.size === 0) this.#runs.delete(executionId)
    this.untold.delete(asking)
    this.granted.delete(asking)
    const pool = this.poolOf(asking)
    if (pool.line.has(asking.key)) {
      pool.line.remove(asking.key)
      this.dirty.add(pool)
    }
    this.#giveBack(pool, asking.key, causationId)
    pool.askings--
    this.#forget(pool)
  }

  /** A group is there for as long as somebody asks it or holds a part of it, for its key may be another one for every run. */
  #forget(pool: PoolSeen): void {
    if (!pool.stream.startsWith('group-') || pool.askings > 0 || pool.shares.size > 0) return
    this.#pools.delete(pool.stream)
    this.dirty.delete(pool)
  }

  #giveBack(pool: PoolSeen, key: string, causationId: string): void {
    const share = pool.shares.get(key)
    if (share) this.surplus.set(surplusKey(pool, key), { pool, share, causationId })
  }

  /** Nothing begins in a paused run, so it stands in no line; nor does it ask for anything before it goes on. */
  #pause(executionId: string, paused: boolean): void {
    const run = this.#runs.get(executionId)
    if (run === undefined) return
    run.paused = paused
    for (const asking of run.asking.values()) {
      if (paused) this.poolOf(asking).line.remove(asking.key)
      else this.enqueue(asking)
    }
  }

  #run(executionId: string): Run {
    const known = this.#runs.get(executionId)
    if (known) return known
    const run: Run = { paused: false, asking: new Map() }
    this.#runs.set(executionId, run)
    return run
  }

  #pool(stream: string): PoolSeen {
    const known = this.#pools.get(stream)
    if (known) return known
    const pool: PoolSeen = {
      ...{ stream, namespace: namespaceOf(stream), capacity: undefined, inUse: NOTHING, askings: 0 },
      ...{ line: new WaitingLine(), shares: new Map(), requested: new Map() },
    }
    this.#pools.set(stream, pool)
    return pool
  }

  dump(): Dump {
    const runs = [...this.#runs]
    return {
      pools: [...this.#pools.values()].map(({ stream, capacity, inUse, shares }) => ({
        ...{ stream, capacity, inUse },
        shares: [...shares.values()],
      })),
      asking: runs.flatMap(([, { asking }]) => [...asking.values()]),
      paused: runs.filter(([, { paused }]) => paused).map(([id]) => id),
    }
  }

  restore({ pools, asking, paused }: Dump): void {
    for (const { stream, capacity, inUse, shares } of pools) {
      const pool = this.#pool(stream)
      Object.assign(pool, { capacity, inUse })
      for (const share of shares) pool.shares.set(holderKey(share.holder), share)
      this.dirty.add(pool)
    }
    for (const id of paused) this.#run(id).paused = true
    for (const one of asking) {
      this.#keep(one)
      this.enqueue(one)
      if (!one.admitted && this.poolOf(one).shares.has(one.key)) this.granted.add(one)
    }
    for (const pool of this.#pools.values())
      for (const [key, { holder, grantedBy }] of pool.shares)
        if (this.find(holder, key) === undefined) this.#giveBack(pool, key, grantedBy)
  }
}

const surplusKey = ({ stream }: PoolSeen, key: string): string => `${stream} ${key}`
