// The work queue of a distributed world. What waits and whose turn it is are the real queue's; but it outlives every process,
// gives what a dead consumer had to others, and now and then doubles and delays messages.
import { createMemoryQueue } from '../../src/adapters/work-queue/memory.ts'
import type { Work } from '../../src/domain/execution/work.ts'
import type { Consumer, WorkQueue } from '../../src/ports/work-queue.ts'
import type { Network } from './gates.ts'
import type { Owner } from './scheduler.ts'

/** After this the broker takes a consumer that it has not heard of for dead. */
export const SESSION_MS = 10_000
const DELAYED_MS = 30_000

type Handle = Parameters<WorkQueue['consume']>[2]
/** A message that a consumer has: `done` is how the queue hears of it. */
type Handed = { readonly copy: Work; done(): void }
type Member = { readonly owner: Owner; readonly handed: Set<Handed>; consumer: Consumer | undefined }

export type Broker = {
  /** The broker as a process sees it. */
  connect(owner: Owner): WorkQueue
  /** After a while takes a process that is not heard of for dead, though it may only have been stopped. */
  unheard(owner: Owner): void
  /** Ids of what waits, or is with somebody. */
  open(): Promise<readonly string[]>
  dead(): Promise<readonly Work[]>
}

/** The id of the second copy of a message that is doubled. */
const TWIN = '#2'
const idOf = (copy: Work): string => copy.id.replace(TWIN, '')
const original = (copy: Work): Work => ({ ...copy, id: idOf(copy) })

export function createBroker(network: Network): Broker {
  const { scheduler, faults, chance } = network
  const queue = createMemoryQueue({ monotonicMs: () => scheduler.nowMs })
  const members: Member[] = []
  /** Taken, and not yet in the queue. */
  const delayed = new Map<string, Work>()
  const everSent = new Set<string>()

  const lacking = async (ids: readonly string[]): Promise<string[]> => {
    const copies = await queue.lacking(ids.flatMap((id) => [id, id + TWIN]))
    const gone = new Set(copies)
    return ids.filter((id) => gone.has(id) && gone.has(id + TWIN) && !delayed.has(id))
  }

  async function publish(work: readonly Work[]): Promise<void> {
    const lost = new Set(await lacking(work.map(({ id }) => id)))
    const sent = work.filter(({ id }) => lost.delete(id))
    for (const { id } of sent) everSent.add(id)
    const late = sent.filter(() => faults.befalls('work-delayed'))
    for (const one of late) {
      delayed.set(one.id, one)
      scheduler.schedule(undefined, chance.below(DELAYED_MS), () => {
        if (delayed.delete(one.id)) void queue.publish([one])
      })
    }
    const twins = sent.filter(() => faults.befalls('work-doubled')).map((one) => ({ ...one, id: one.id + TWIN }))
    await queue.publish([...sent.filter((one) => !late.includes(one)), ...twins])
  }

  /** The queue hears of the end of a message from its consumer, or from the broker that has given it up. */
  const handTo =
    (member: Member, handle: Handle) =>
    (copy: Work): Promise<void> =>
      new Promise((resolve, reject) => {
        const handed: Handed = { copy, done: resolve }
        member.handed.add(handed)
        handle(original(copy)).then(
          () => void (member.handed.delete(handed) && resolve()),
          (error) => void (member.handed.delete(handed) && reject(error)),
        )
      })

  /** That a consumer died is no fault of the work, so it comes as new. */
  function giveUp(member: Member): void {
    if (!member.owner.alive) void member.consumer?.close()
    for (const { copy, done } of member.handed) {
      done()
      scheduler.schedule(undefined, 0, () => void queue.publish([copy]))
    }
    member.handed.clear()
  }

  return {
    connect: (owner) => ({
      durable: true,
      publish,
      async withdraw(ids) {
        for (const id of ids) delayed.delete(id)
        await queue.withdraw(ids.flatMap((id) => [id, id + TWIN]))
      },
      consume(queues, options, handle) {
        const member: Member = { owner, handed: new Set(), consumer: undefined }
        members.push(member)
        member.consumer = queue.consume(queues, options, handTo(member, handle))
        return member.consumer
      },
      lacking,
      stats: () => queue.stats(),
      deadLetters: () => queue.deadLetters(),
      close: async () => {},
    }),
    unheard(owner) {
      scheduler.schedule(undefined, SESSION_MS, () => {
        for (const member of members) if (member.owner === owner) giveUp(member)
      })
    },
    async open() {
      const gone = new Set(await lacking([...everSent]))
      return [...everSent].filter((id) => !gone.has(id))
    },
    dead: async () => (await queue.deadLetters()).flatMap(({ work }) => (work ? [original(work)] : [])),
  }
}
