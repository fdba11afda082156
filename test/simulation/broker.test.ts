import { expect, it, vi } from 'vitest'
import { workQueueContract } from '../contracts/work-queue.ts'
import { chanceOf } from '../support/chance.ts'
import { someWork } from '../support/some-work.ts'
import { createBroker } from './broker.ts'
import { createFaults, type Rates } from './faults.ts'
import type { Network } from './gates.ts'
import { createScheduler, type Owner } from './scheduler.ts'

/** A broker whose world goes on by itself until it is closed. */
function spinning(rates: Rates = {}) {
  const chance = chanceOf(1)
  const scheduler = createScheduler(chance)
  const network: Network = { scheduler, chance, faults: createFaults(rates, chance), latencyMs: 0 }
  let closed = false
  const spin = async () => {
    while (!closed) {
      await scheduler.run(() => closed)
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
  const spun = spin()
  const close = async () => {
    closed = true
    await spun
  }
  const pass = (ms: number) =>
    new Promise<void>((resolve) => {
      scheduler.schedule(undefined, ms, resolve)
    })
  return { broker: createBroker(network), pass, close }
}

const ownerOf = (name: string): Owner => ({ name, alive: true, stoppedUntilMs: 0 })

workQueueContract('the broker of a simulated world', async () => {
  const { broker, pass, close } = spinning()
  return { queue: broker.connect(ownerOf('worker')), pass, close }
})

const work = someWork()
const never = () => new Promise<void>(() => {})

it('gives what a dead consumer had to another one', async () => {
  const { broker, close } = spinning()
  const [first, second] = [ownerOf('first'), ownerOf('second')]
  const taken: string[] = []
  const consume = (owner: Owner, handle: () => Promise<void>) =>
    broker.connect(owner).consume(['default'], { concurrency: 1 }, async ({ id }) => {
      taken.push(`${owner.name} ${id}`)
      await handle()
    })
  consume(first, never)
  await broker.connect(first).publish([work])
  await vi.waitFor(() => expect(taken).toHaveLength(1))
  first.alive = false
  broker.unheard(first)
  consume(second, async () => {})
  await vi.waitFor(() => expect(taken).toEqual([`first ${work.id}`, `second ${work.id}`]))
  await vi.waitFor(async () => expect(await broker.open()).toEqual([]))
  await close()
})

it('doubles messages where that is among the faults', async () => {
  const { broker, close } = spinning({ 'work-doubled': 1 })
  const queue = broker.connect(ownerOf('worker'))
  let taken = 0
  queue.consume(['default'], { concurrency: 1 }, async () => {
    taken++
  })
  await queue.publish([work])
  await vi.waitFor(() => expect(taken).toBe(2))
  await close()
})
