import { createMemoryLeases } from '../../src/adapters/leases/memory.ts'
import { createMemoryQueue } from '../../src/adapters/work-queue/memory.ts'
import { leasesContract } from './leases.ts'
import { workQueueContract } from './work-queue.ts'

workQueueContract('memory', async () => {
  let nowMs = 0
  const queue = createMemoryQueue({ monotonicMs: () => nowMs })
  return {
    queue,
    async pass(ms) {
      nowMs += ms
    },
    close: () => queue.close(),
  }
})

leasesContract('memory', async () => {
  let nowMs = 0
  const leases = createMemoryLeases({ monotonicMs: () => nowMs })
  return {
    leases,
    async pass(ms) {
      nowMs += ms
    },
    close: () => leases.close(),
  }
})
