import { afterAll, beforeAll, describe, it } from 'vitest'
import { openKafkaQueue } from '../../src/adapters/work-queue/kafka.ts'
import { workQueueContract } from '../contracts/work-queue.ts'
import { arrivedAt, ownTopics } from '../support/kafka-queues.ts'
import { quiet } from '../support/kafka-quiet.ts'
import type { Server } from '../support/server-process.ts'
import { findServer } from '../support/servers.ts'
import { skipFor } from '../support/skip.ts'

const found = await findServer('kafka')
const why = found.reason

if (why !== undefined) it('keeps the contract of work queues', (context) => skipFor(why, context))
else
  describe('on a broker', () => {
    let broker: Server
    beforeAll(async () => {
      broker = await found.start()
    })
    afterAll(() => broker.stop())

    workQueueContract(
      'kafka',
      async () => {
        let nowMs = 0
        const startMs = Date.now()
        const clock = { now: () => startMs + nowMs, monotonicMs: () => nowMs }
        const settings = ownTopics(broker.url, 1)
        const queue = await openKafkaQueue({ settings, clock, logger: quiet })
        return {
          queue,
          async pass(ms) {
            nowMs += ms
          },
          arrived: () => arrivedAt(queue, settings, `${settings.prefix}.work.default`),
          close: () => queue.close(),
        }
      },
      15_000,
    )
  })
