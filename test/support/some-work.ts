// Work for queues, and a handler of it whose ends the test decides.
import { v7 as uuidv7 } from 'uuid'
import type { Work } from '../../src/domain/execution/work.ts'

/** Times of the work below. */
const SCHEDULED_MS = Date.parse('2026-01-02T03:04:05.000Z')
export const after = (ms: number): string => new Date(SCHEDULED_MS + ms).toISOString()

export function someWork(overrides: Partial<Work> = {}): Work {
  const executionId = overrides.executionId ?? uuidv7()
  return {
    id: `execution-${executionId}:1:0`,
    namespace: 'default',
    executionId,
    scheduledAt: after(0),
    stage: 'build',
    attempt: 1,
    queue: 'default',
    handler: 'shell',
    input: { run: 'true' },
    timeoutMs: 1_000,
    priority: 0,
    eventId: uuidv7(),
    ...overrides,
  }
}

/** A handler that keeps what it was given, and finishes each when it is told to. */
export function held() {
  const taken: Work[] = []
  const finish = new Map<string, () => void>()
  const handle = (work: Work) =>
    new Promise<void>((resolve) => {
      taken.push(work)
      finish.set(work.id, resolve)
    })
  const finishAll = () => {
    for (const resolve of finish.values()) resolve()
  }
  return { taken, handle, finish, finishAll }
}
