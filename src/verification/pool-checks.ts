// What pools and groups hold, and who waits for them, held against the runs: nothing leaks, and nobody is forgotten.
import { executionStream } from '../domain/execution/events.ts'
import type { RecordedEvent } from '../domain/message.ts'
import { poolDecider } from '../domain/pool/decide.ts'
import type { Held, Holder, PoolEvent } from '../domain/pool/events.ts'
import { holderKey } from '../domain/pool/holders.ts'
import { upcast } from '../domain/upcast.ts'
import type { Live, OpenCheck, Suspect } from './open-checks.ts'

const nameOf = ({ executionId, stage, attempt }: Holder): string =>
  stage === undefined ? executionId : `${executionId}/${stage} attempt ${attempt}`

/** Whoever asks a pool or a group is known to the allocator, or would wait for ever. */
export const checkAsking: OpenCheck = async ({ asking }, { engine: { allocator } }) =>
  asking
    .filter(({ holder }) => !allocator.knows(holder))
    .map(({ holder, event }): Suspect => {
      const what = 'waits for a pool or a group, but the allocator does not know of it'
      const repair = async () => {
        await allocator.takeUp(event)
        return `took up ${nameOf(holder)} again`
      }
      const drift = { where: 'allocator', key: nameOf(holder), what }
      return { drift, stream: executionStream(holder.executionId), repair }
    })

/** Whoever holds a part of a pool goes on, or is about to. */
export const checkHeld: OpenCheck = async ({ attempts, asking, admitted }, live) => {
  const { allocator } = live.engine
  const open = new Set([...attempts, ...asking.map(({ holder }) => holder), ...admitted].map(holderKey))
  const suspects: Suspect[] = []
  for (const stream of allocator.streams())
    for (const held of await heldIn(live, stream)) {
      if (open.has(holderKey(held.holder))) continue
      const drift = {
        where: 'pools',
        key: nameOf(held.holder),
        what: `holds grant ${held.fence} of ${stream}, and has ended`,
      }
      const repair = async () => {
        await allocator.giveBack(stream, held)
        return `gave grant ${held.fence} of ${nameOf(held.holder)} back to ${stream}`
      }
      suspects.push({ drift, stream: executionStream(held.holder.executionId), repair })
    }
  return suspects
}

async function heldIn({ store }: Live, stream: string): Promise<readonly Held[]> {
  const newestFirst: RecordedEvent<PoolEvent>[] = []
  for await (const events of store.readStream(stream, { direction: 'backwards' })) {
    for (const event of events as readonly RecordedEvent<PoolEvent>[]) newestFirst.push(upcast(event))
    if (newestFirst.some((event) => poolDecider.isBase?.(event))) break
  }
  const from = newestFirst.findIndex((event) => poolDecider.isBase?.(event))
  const since = from === -1 ? newestFirst : newestFirst.slice(0, from + 1)
  const pool = since.toReversed().reduce(poolDecider.evolve, poolDecider.initialState)
  return pool.status === 'undefined' ? [] : pool.held.list()
}
