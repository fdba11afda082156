// Lives of workers as the log has them, for what reads them.
import { randomInt, randomUUID } from 'node:crypto'
import { type WorkerEvent, type WorkerRegistration, workerStream } from '../../src/domain/worker/events.ts'

export const aRegistration = (more: Partial<WorkerRegistration> = {}): WorkerRegistration => ({
  ...{ host: 'build-7', pid: 4711, version: '1.0.0', labels: ['gpu', 'linux'], concurrency: 16 },
  queues: [{ name: 'default' }, { name: 'heavy', limit: 2 }],
  handlers: [{ name: 'shell' }, { name: 'own', version: '2.1.0' }],
  ...more,
})
export const registeredWorker = (more: Partial<WorkerRegistration> = {}): WorkerEvent => ({
  type: 'WorkerRegistered',
  data: aRegistration(more),
})
export const drainingWorker: WorkerEvent = { type: 'WorkerDraining', data: { graceMs: 10_000 } }
export const stoppedWorker: WorkerEvent = { type: 'WorkerStopped', data: { interrupted: 1 } }
export const lostWorker: WorkerEvent = { type: 'WorkerLost', data: { reason: 'it holds its lease no more' } }

const lives: readonly (readonly WorkerEvent[])[] = [
  [registeredWorker()],
  [registeredWorker(), drainingWorker, stoppedWorker],
  [registeredWorker(), lostWorker],
  [registeredWorker(), lostWorker, registeredWorker({ labels: [], handlers: [{ name: 'a\0b' }] })],
  [registeredWorker({ host: 'a\0b' }), lostWorker, drainingWorker, stoppedWorker],
]

export function anyLife(): { readonly stream: string; readonly events: readonly WorkerEvent[] } {
  return { stream: workerStream(randomUUID()), events: lives[randomInt(lives.length)]! }
}
