// The invariants of pools and groups: what is held, by whom, and whether who runs holds what it has to. It looks across streams.
import type { ExecutionEvent, Grant } from '../domain/execution/events.ts'
import type { RecordedEvent } from '../domain/message.ts'
import type { Amounts } from '../domain/pool/amounts.ts'
import type { Holder, PoolEvent } from '../domain/pool/events.ts'
import type { Accuse } from './violations.ts'

type Share = { readonly fence: number; readonly amounts: Amounts; readonly at: RecordedEvent<PoolEvent> }
type Pool = { capacity: Amounts; inUse: Amounts; fence: number; readonly shares: Map<string, Share> }
/** An attempt or a run that goes on with a grant, and where the log let it. */
type User = { readonly share: Share | undefined }

const NAMES = ['slots', 'cpuMillicores', 'memoryBytes', 'diskBytes'] as const
const none: Amounts = { slots: 0, cpuMillicores: 0, memoryBytes: 0, diskBytes: 0 }
const keyOf = ({ executionId, stage, attempt }: Holder): string => [executionId, stage, attempt].join(' ')

/** Takes the events of the whole log in their order. */
export class PoolChecker {
  readonly #accuse: Accuse
  readonly #pools = new Map<string, Pool>()
  /** Streams of groups, by namespace and name. */
  readonly #groups = new Map<string, string>()
  /** By stream of the run, then by stage; the run itself has no name. */
  readonly #users = new Map<string, Map<string, User>>()

  constructor(accuse: Accuse) {
    this.#accuse = accuse
  }

  take(event: RecordedEvent): void {
    if (event.stream.startsWith('execution-')) this.#ofExecution(event as RecordedEvent<ExecutionEvent>)
    else if (event.stream.startsWith('pool-') || event.stream.startsWith('group-'))
      this.#ofPool(event as RecordedEvent<PoolEvent>)
  }

  /** After healing nothing is held by who does not go on. */
  end(healed: boolean): void {
    if (!healed) return
    const used = new Set([...this.#users.values()].flatMap((users) => [...users.values()].map(({ share }) => share)))
    for (const { shares } of this.#pools.values())
      for (const [holder, share] of shares)
        if (!used.has(share)) this.#accuse(share.at, 18, `${holder} holds it still, and does not go on`)
  }

  #ofPool(event: RecordedEvent<PoolEvent>): void {
    const { data, stream } = event
    const pool = this.#pools.get(stream) ?? { capacity: none, inUse: none, fence: 0, shares: new Map() }
    this.#pools.set(stream, pool)
    if (event.type === 'PoolDefined' && stream.startsWith('group-'))
      this.#groups.set(`${event.metadata.namespace} ${event.data.name}`, stream)
    if (event.type === 'CapacityGranted') this.#grant(pool, event)
    if (event.type === 'CapacityReleased') this.#release(pool, event)
    if (event.type === 'PoolDefined' || event.type === 'PoolResized') pool.capacity = data.capacity
    this.#compare(pool, event)
  }

  #grant(pool: Pool, event: Extract<RecordedEvent<PoolEvent>, { type: 'CapacityGranted' }>): void {
    const { holder, amounts, fence } = event.data
    const key = keyOf(holder)
    if (pool.shares.has(key)) this.#accuse(event, 18, `${key} holds it already`)
    if (fence !== pool.fence + 1) this.#accuse(event, 18, `grant ${fence} follows ${pool.fence}`)
    pool.fence = fence
    pool.inUse = sum(pool.inUse, amounts, 1)
    for (const name of NAMES)
      if (amounts[name] < 0 || (amounts[name] > 0 && pool.inUse[name] > pool.capacity[name]))
        this.#accuse(event, 17, `${pool.inUse[name]} ${name} are held of ${pool.capacity[name]}`)
    pool.shares.set(key, { fence, amounts, at: event })
  }

  #release(pool: Pool, event: Extract<RecordedEvent<PoolEvent>, { type: 'CapacityReleased' }>): void {
    const { holder, fence } = event.data
    const share = pool.shares.get(keyOf(holder))
    if (share?.fence !== fence) {
      this.#accuse(event, 18, `grant ${fence} is given back by ${keyOf(holder)}, who does not hold it`)
      return
    }
    const user = this.#users.get(`execution-${holder.executionId}`)?.get(holder.stage ?? '')
    if (user?.share === share) this.#accuse(event, 18, `${keyOf(holder)} goes on without what it held`)
    pool.inUse = sum(pool.inUse, share.amounts, -1)
    pool.shares.delete(keyOf(holder))
  }

  /** An event says how it leaves the pool. */
  #compare(pool: Pool, event: RecordedEvent<PoolEvent>): void {
    const { capacity } = event.data
    const inUse = event.type === 'PoolDefined' ? none : event.data.inUse
    for (const name of NAMES) {
      if (pool.inUse[name] < 0) this.#accuse(event, 17, `${pool.inUse[name]} ${name} are held`)
      if (inUse[name] !== pool.inUse[name])
        this.#accuse(event, 17, `it says that ${inUse[name]} ${name} are held, and ${pool.inUse[name]} are`)
      if (capacity[name] !== pool.capacity[name])
        this.#accuse(
          event,
          17,
          `it says that there are ${capacity[name]} ${name}, and there are ${pool.capacity[name]}`,
        )
    }
    if (event.type !== 'PoolCarriedForward') return
    const said = event.data.held.map(({ holder, fence }) => `${keyOf(holder)} ${fence}`)
    const held = [...pool.shares].map(([key, { fence }]) => `${key} ${fence}`)
    if (said.sort().join() !== held.sort().join()) this.#accuse(event, 31, 'it does not carry forward what is held')
  }

  #ofExecution(event: RecordedEvent<ExecutionEvent>): void {
    switch (event.type) {
      case 'ExecutionAdmitted': {
        const stream = this.#groups.get(`${event.metadata.namespace} ${event.data.grant.pool}`)
        this.#uses(event, '', stream, { executionId: event.stream.slice('execution-'.length) }, event.data.grant)
        return
      }
      case 'StageScheduled': {
        const { stage, attempt, grant } = event.data
        if (grant === undefined) return
        const holder = { executionId: event.stream.slice('execution-'.length), stage, attempt }
        this.#uses(event, stage, `pool-${event.metadata.namespace}.${grant.pool}`, holder, grant)
        return
      }
      case 'StageCompleted':
      case 'StageFailed':
      case 'StageCancelled':
      case 'StageSkipped':
        this.#users.get(event.stream)?.delete(event.data.stage)
        return
      case 'StagesGenerated':
        this.#users.get(event.stream)?.delete(event.data.parent)
        return
      case 'ExecutionCompleted':
      case 'ExecutionFailed':
      case 'ExecutionCancelled':
        this.#users.delete(event.stream)
        return
      default:
        return
    }
  }

  #uses(
    event: RecordedEvent<ExecutionEvent>,
    stage: string,
    stream: string | undefined,
    holder: Holder,
    { fence }: Grant,
  ): void {
    const share = stream === undefined ? undefined : this.#pools.get(stream)?.shares.get(keyOf(holder))
    if (stream === undefined || share?.fence !== fence)
      this.#accuse(event, 17, `it goes on with grant ${fence}, which the pool has not given it`)
    const users = this.#users.get(event.stream) ?? new Map<string, User>()
    this.#users.set(event.stream, users)
    users.set(stage, { share })
  }
}

const sum = (a: Amounts, b: Amounts, sign: 1 | -1): Amounts => ({
  slots: a.slots + sign * b.slots,
  cpuMillicores: a.cpuMillicores + sign * b.cpuMillicores,
  memoryBytes: a.memoryBytes + sign * b.memoryBytes,
  diskBytes: a.diskBytes + sign * b.diskBytes,
})
