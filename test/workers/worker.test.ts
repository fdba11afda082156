// What a worker does about messages that come twice or late, and about leases that cannot be had or get lost.
import { setImmediate as turn } from 'node:timers/promises'
import { beforeEach, describe, expect, it } from 'vitest'
import { createMemoryLeases } from '../../src/adapters/leases/memory.ts'
import type { Work } from '../../src/domain/execution/work.ts'
import type { StageContext } from '../../src/ports/handler.ts'
import { StageFailure } from '../../src/ports/handler.ts'
import { type Leases, workerLeaseKey } from '../../src/ports/leases.ts'
import type { StageReports, WorkerReport } from '../../src/ports/stage-reports.ts'
import type { WorkerRegistry } from '../../src/ports/worker-registry.ts'
import { startWorker } from '../../src/workers/worker.ts'
import { handlerOf, silent } from '../support/engine.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { someWork } from '../support/some-work.ts'

const LEASE_MS = 30_000
const HEARTBEAT_MS = 500
const KEY = 'run:build:1'
const work = someWork({ executionId: 'run', timeoutMs: 3_600_000 })

let clock: ManualClock
let leases: Leases
let said: string[]
let runs: StageContext[]
/** What the log says to a report. */
let heard: Awaited<ReturnType<WorkerRegistry['report']>>
let answer: (report: WorkerReport) => ReturnType<StageReports['report']>

beforeEach(() => {
  clock = new ManualClock()
  leases = createMemoryLeases(clock)
  said = []
  runs = []
  answer = async () => 'accepted'
  heard = 'accepted'
})

/** A worker of a queue that redelivers as it likes: `deliver` is one message, and resolves when the worker is done with it. */
function aWorker(run: (context: StageContext) => Promise<null>) {
  let deliver: (work: Work) => Promise<void> = async () => {}
  const delivered = new Set<Promise<void>>()
  const handler = handlerOf('shell', (context) => {
    runs.push(context)
    return run(context)
  })
  const worker = startWorker({
    ...{ id: 'w', leases, clock, logger: silent, queues: ['default'], concurrency: 10 },
    ...{ labels: [], about: { host: 'here', pid: 1, version: '1' }, registry: { report: async () => heard } },
    ...{ leaseMs: LEASE_MS, heartbeatMs: HEARTBEAT_MS, handlers: new Map([['shell', handler]]) },
    logs: { open: () => ({ write: () => {}, close: async () => {} }), read: async () => [], remove: async () => {} },
    reports: {
      report: async (_, report) => {
        const answered = await answer(report)
        said.push(`${report.type} ${answered}`)
        return answered
      },
    },
    queue: {
      ...{ durable: true, publish: async () => {}, deadLetters: async () => [] },
      ...{ withdraw: async () => {}, lacking: async () => [], stats: async () => [] },
      consume(_, __, handle) {
        deliver = handle
        return { close: async () => void (await Promise.allSettled(delivered)) }
      },
      close: async () => {},
    },
  })
  return {
    worker,
    deliver() {
      const done = deliver(work)
      delivered.add(done)
      return done
    },
  }
}

/** Lets time go by in steps, so that what it leads to comes in between. */
async function pass(ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += HEARTBEAT_MS) {
    clock.advance(HEARTBEAT_MS)
    await turn()
    await turn()
  }
}

const untilStopped = ({ signal }: StageContext): Promise<null> =>
  new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(new Error('stopped')))
  })

describe('a message that comes twice', () => {
  it('is one attempt, and done when that is done', async () => {
    const held = Promise.withResolvers<null>()
    const { deliver } = aWorker(() => held.promise)
    const first = deliver()
    await pass(HEARTBEAT_MS)
    let isDone = false
    const second = deliver().then(() => {
      isDone = true
    })
    await pass(HEARTBEAT_MS)
    expect([runs.length, isDone]).toEqual([1, false])
    held.resolve(null)
    await Promise.all([first, second])
    expect(said).toEqual(['StartStage accepted', 'CompleteStage accepted'])
  })

  it('is no second attempt where the first was lost after the log knew of it', async () => {
    const { deliver } = aWorker(untilStopped)
    const first = deliver()
    await pass(HEARTBEAT_MS)
    await leases.release(KEY, 'w')
    await pass(HEARTBEAT_MS)
    await first
    await deliver()
    expect(runs).toHaveLength(1)
    expect(said).toEqual(['StartStage accepted'])
  })
})

describe('a lease', () => {
  it('is waited for where its holder may be the dead one whose message this is', async () => {
    await leases.claim(KEY, 'dead', LEASE_MS)
    const { deliver } = aWorker(async () => null)
    const done = deliver()
    await pass(LEASE_MS - 2 * HEARTBEAT_MS)
    expect(runs).toEqual([])
    await pass(4 * HEARTBEAT_MS)
    await done
    expect(said).toEqual(['CompleteStage accepted'])
  })

  it('is left to a holder that lives, which has a message of its own', async () => {
    await leases.claim(KEY, 'alive', 10 * LEASE_MS)
    const done = aWorker(async () => null).deliver()
    await pass(LEASE_MS + 2 * HEARTBEAT_MS)
    await done
    expect(runs).toEqual([])
  })

  it('is waited for anew with the message of a holder that died in the meantime', async () => {
    await leases.claim(KEY, 'other', LEASE_MS)
    const { deliver } = aWorker(async () => null)
    const first = deliver()
    await pass(LEASE_MS / 2)
    await leases.renew('other', [KEY], LEASE_MS)
    const second = deliver()
    await pass(LEASE_MS + 2 * HEARTBEAT_MS)
    await Promise.all([first, second])
    expect(said).toEqual(['CompleteStage accepted'])
  })

  it('is claimed again where it cannot be reached, and costs no delivery', async () => {
    const reachable = leases
    let isDown = true
    const fail = () => Promise.reject(new Error('connection refused'))
    leases = {
      ...reachable,
      claim: (...given) => (isDown ? fail() : reachable.claim(...given)),
      release: fail,
    }
    const { deliver } = aWorker(async () => null)
    const done = deliver()
    await pass(10 * HEARTBEAT_MS)
    expect(runs).toEqual([])
    isDown = false
    await pass(HEARTBEAT_MS)
    await done
    expect(said).toEqual(['CompleteStage accepted'])
  })

  it('that gets lost before the log knows of the attempt is claimed again: nobody else would make it', async () => {
    answer = () => Promise.reject(new Error('the log is away'))
    const { deliver } = aWorker(untilStopped)
    const done = deliver()
    await pass(HEARTBEAT_MS)
    await leases.release(KEY, 'w')
    await pass(4 * HEARTBEAT_MS)
    expect(runs.map(({ signal }) => signal.reason)).toEqual(['lease-lost', undefined])
    answer = async () => 'refused'
    await pass(4 * HEARTBEAT_MS)
    await done
    expect(said).toEqual(['StartStage refused'])
  })

  it('is not waited for by a worker that is drained: the message goes back', async () => {
    await leases.claim(KEY, 'other', LEASE_MS)
    const { deliver, worker } = aWorker(async () => null)
    const done = expect(deliver()).rejects.toThrow('shut down while it waited for the lease of run:build:1')
    await pass(HEARTBEAT_MS)
    const drained = worker.drain(0)
    await pass(2 * HEARTBEAT_MS)
    await drained
    await done
  })
})

it('reports a failure as what it is, also where the worker is drained before that is taken', async () => {
  const held = Promise.withResolvers<null>()
  const { deliver, worker } = aWorker(() => held.promise)
  let taken = () => {}
  answer = ({ type }) =>
    type === 'StartStage' ? new Promise((resolve) => (taken = () => resolve('accepted'))) : Promise.resolve('accepted')
  const done = deliver()
  await pass(HEARTBEAT_MS)
  held.reject(new StageFailure({ code: 'BROKEN', message: 'for good', retryable: false }))
  await pass(HEARTBEAT_MS)
  const drained = worker.drain(HEARTBEAT_MS)
  await pass(2 * HEARTBEAT_MS)
  taken()
  await Promise.all([done, drained])
  expect(said).toEqual(['StartStage accepted', 'FailStage accepted'])
})

describe('reports that are sent, and taken later', () => {
  beforeEach(() => {
    answer = async () => 'sent'
  })
  const isHeld = async () => (await leases.unheld([KEY])).length === 0

  it('keep the lease until the outcome was taken, and the message is no second attempt meanwhile', async () => {
    const { deliver } = aWorker(async () => null)
    await deliver()
    expect(said).toEqual(['CompleteStage sent'])
    await pass(2 * LEASE_MS)
    expect(await isHeld()).toBe(true)
    await deliver()
    expect(runs).toHaveLength(1)
    await leases.release(KEY, 'w')
    await pass(HEARTBEAT_MS)
    expect(await leases.claim(KEY, 'another', LEASE_MS)).toBe(true)
    await pass(HEARTBEAT_MS)
    expect(await leases.claim(KEY, 'w', LEASE_MS)).toBe(false)
  })

  it('let go of the lease of an outcome that nobody ever takes', async () => {
    const { deliver } = aWorker(async () => null)
    await deliver()
    await pass(19 * LEASE_MS)
    expect(await isHeld()).toBe(true)
    await pass(2 * LEASE_MS)
    expect(await isHeld()).toBe(false)
  })

  it('have an attempt begin once its start is confirmed, and send it again where nobody does', async () => {
    let hasBegun = false
    const { deliver } = aWorker(async ({ begun }) => {
      await begun()
      hasBegun = true
      return null
    })
    const done = deliver()
    await pass(7_000)
    expect(said).toEqual(['StartStage sent', 'StartStage sent'])
    expect(hasBegun).toBe(false)
    await leases.confirm(KEY, 'w')
    await pass(1_000)
    expect(hasBegun).toBe(true)
    await done
    expect(said.at(-1)).toBe('CompleteStage sent')
  })

  it('stop an attempt whose start is refused', async () => {
    const { deliver } = aWorker(async ({ begun }) => {
      await begun()
      return null
    })
    const done = deliver()
    await pass(HEARTBEAT_MS)
    await leases.revoke(KEY)
    await pass(1_000)
    await done
    expect(said).toEqual(['StartStage sent'])
    expect(await isHeld()).toBe(false)
  })

  it('are waited for by a worker that is shut down, for a while', async () => {
    const { worker, deliver } = aWorker(async () => null)
    await deliver()
    let isOver = false
    const drained = worker.drain(10_000).then(() => {
      isOver = true
    })
    await pass(5_000)
    expect(isOver).toBe(false)
    await leases.release(KEY, 'w')
    await pass(1_000)
    expect(isOver).toBe(true)
    await drained
  })

  it('leave the lease of a worker that has stopped to end by itself, or it would be taken for lost', async () => {
    const isThere = async () => (await leases.unheld([workerLeaseKey('w')])).length === 0
    const told = aWorker(async () => null)
    await told.worker.registered
    await told.worker.drain(1_000)
    expect(await isThere()).toBe(false)
    heard = 'sent'
    const { worker } = aWorker(async () => null)
    await worker.registered
    await worker.drain(1_000)
    expect(await isThere()).toBe(true)
    await pass(LEASE_MS)
    expect(await isThere()).toBe(false)
  })
})
