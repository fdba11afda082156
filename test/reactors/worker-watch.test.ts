import { beforeEach, describe, expect, it, vi } from 'vitest'
import { createMemoryLeases } from '../../src/adapters/leases/memory.ts'
import type { LoseWorker } from '../../src/commands/worker-life.ts'
import type { RecordedEvent } from '../../src/domain/message.ts'
import { type WorkerEvent, workerStream } from '../../src/domain/worker/events.ts'
import { type Leases, workerLeaseKey } from '../../src/ports/leases.ts'
import { createWorkerWatch } from '../../src/reactors/worker-watch.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { drainingWorker, lostWorker, registeredWorker, stoppedWorker } from '../support/worker-lives.ts'

const CHECK_MS = 1_000

let clock: ManualClock
let leases: Leases
let lost: string[]
let warnings: string[]
let lose: LoseWorker
beforeEach(() => {
  clock = new ManualClock()
  leases = createMemoryLeases(clock)
  lost = []
  warnings = []
  lose = async ({ workerId, causationId }) => void lost.push(`${workerId} ${causationId}`)
})

function watch(...lives: readonly (readonly [id: string, ...events: readonly WorkerEvent[]])[]) {
  const logger = { info: () => {}, warn: (_: object, message: string) => void warnings.push(message), error: () => {} }
  const reactor = createWorkerWatch({ lose: (worker) => lose(worker), leases, clock, logger, checkMs: CHECK_MS })
  for (const [id, ...events] of lives) for (const event of events) reactor.apply(recorded(id, event))
  return reactor
}

const recorded = (id: string, event: WorkerEvent): RecordedEvent =>
  ({ ...event, id: `${event.type} of ${id}`, stream: workerStream(id) }) as unknown as RecordedEvent

describe('the watch over workers', () => {
  it('takes those for lost that are there and whose lease nobody holds', async () => {
    const reactor = watch(
      ['a', registeredWorker()],
      ['b', registeredWorker(), drainingWorker],
      ['held', registeredWorker()],
      ['stopped', registeredWorker(), drainingWorker, stoppedWorker],
      ['lost', registeredWorker(), lostWorker],
      ['back', registeredWorker(), lostWorker, registeredWorker()],
    )
    await leases.claim(workerLeaseKey('held'), 'held', 30_000)
    await reactor.act(false)
    expect(lost).toEqual([])
    await reactor.act(true)
    expect(lost).toEqual(['a WorkerRegistered of a', 'b WorkerDraining of b', 'back WorkerRegistered of back'])
    reactor.stop()
    expect(clock.pending).toBe(0)
  })

  it('looks again and again', async () => {
    const reactor = watch(['a', registeredWorker()])
    await leases.claim(workerLeaseKey('a'), 'a', 1_500)
    await reactor.act(true)
    clock.advance(CHECK_MS)
    await vi.waitFor(() => expect(clock.pending).toBe(1))
    expect(lost).toEqual([])
    clock.advance(CHECK_MS)
    await vi.waitFor(() => expect(lost).toHaveLength(1))
    reactor.stop()
  })

  it('tells a worker that came back while it was taken for lost', async () => {
    const key = workerLeaseKey('a')
    lose = async () => void (await leases.claim(key, 'a', 30_000))
    const reactor = watch(['a', registeredWorker()])
    await reactor.act(true)
    expect(await leases.renew('a', [key], 30_000)).toEqual({ revoked: [key], lost: [], confirmed: [] })
    reactor.stop()
  })

  it('takes nobody for lost while the leases are out of reach, and goes on after a failure', async () => {
    const unheld = leases.unheld
    leases = { ...leases, unheld: () => Promise.reject(new Error('no connection')) }
    const broken = watch(['a', registeredWorker()])
    await broken.act(true)
    expect({ lost, warnings: warnings.length, pending: clock.pending }).toEqual({ lost: [], warnings: 1, pending: 1 })
    broken.stop()

    leases = { ...leases, unheld }
    let refuses = true
    const told = lose
    lose = async (worker) => {
      if (refuses) throw new Error('no room')
      await told(worker)
    }
    const reactor = watch(['a', registeredWorker()])
    await reactor.act(true)
    refuses = false
    clock.advance(CHECK_MS)
    await vi.waitFor(() => expect(lost).toEqual(['a WorkerRegistered of a']))
    reactor.stop()
  })

  it('knows from its snapshot who was there', async () => {
    const before = watch(['a', registeredWorker()], ['b', registeredWorker(), stoppedWorker])
    const after = watch()
    after.restore(JSON.parse(JSON.stringify(before.dump())))
    await after.act(true)
    expect(lost).toEqual(['a WorkerRegistered of a'])
    after.stop()
  })
})
