import { describe, expect, test } from 'vitest'
import type { WorkerCommand } from '../../src/domain/worker/commands.ts'
import { workerDecider } from '../../src/domain/worker/decide.ts'
import type { WorkerEvent, WorkerRegistration } from '../../src/domain/worker/events.ts'
import { given } from '../support/given.ts'

const registration: WorkerRegistration = {
  ...{ host: 'build-7', pid: 7, version: '1.0.0', labels: ['gpu'], concurrency: 4 },
  queues: [{ name: 'default' }, { name: 'heavy', limit: 2 }],
  handlers: [{ name: 'shell' }, { name: 'own', version: '2.0.0' }],
}
const register: WorkerCommand = { type: 'RegisterWorker', registration }
const drain: WorkerCommand = { type: 'DrainWorker', graceMs: 10_000 }
const stop: WorkerCommand = { type: 'StopWorker', interrupted: 2 }
const lose: WorkerCommand = { type: 'LoseWorker', reason: 'gone' }

const registered: WorkerEvent = { type: 'WorkerRegistered', data: registration }
const draining: WorkerEvent = { type: 'WorkerDraining', data: { graceMs: 10_000 } }
const stopped: WorkerEvent = { type: 'WorkerStopped', data: { interrupted: 2 } }
const lost: WorkerEvent = { type: 'WorkerLost', data: { reason: 'gone' } }

const after = (...events: WorkerEvent[]) => given(workerDecider, events)

describe('a worker', () => {
  test('registers, drains and stops', () => {
    after().when(register).then([registered])
    after(registered).when(drain).then([draining])
    after(registered, draining).when(stop).then([stopped])
    after(registered).when(stop).then([stopped])
  })

  test('says nothing new when it says it again', () => {
    after(registered).when(register).then([])
    after(registered, draining).when(register).then([])
    after(registered, draining).when(drain).then([])
    after(registered, stopped).when(stop).then([])
    after(registered, lost).when(lose).then([])
  })

  test('registers again when it is another than it was', () => {
    const other = { ...registration, labels: [] }
    after(registered)
      .when({ type: 'RegisterWorker', registration: other })
      .then([{ type: 'WorkerRegistered', data: other }])
  })

  test('is lost while it is there, and not once it has stopped', () => {
    after(registered).when(lose).then([lost])
    after(registered, draining).when(lose).then([lost])
    after(registered, stopped).when(lose).thenRejected('WORKER_STOPPED')
  })

  test('that was taken for lost has the last word on itself', () => {
    after(registered, lost).when(register).then([registered])
    after(registered, lost).when(drain).then([draining])
    after(registered, lost).when(stop).then([stopped])
    after(registered, lost, registered).when(lose).then([lost])
  })

  test('has stopped for good', () => {
    after(registered, stopped).when(register).thenRejected('WORKER_STOPPED')
    after(registered, stopped).when(drain).thenRejected('WORKER_STOPPED')
    expect(workerDecider.isTerminal?.({ status: 'stopped', registration })).toBe(true)
  })

  test.each([drain, stop, lose])('that nobody knows is told so: $type', (command) => {
    after().when(command).thenRejected('WORKER_UNKNOWN')
  })
})
