// Consumes the default queue and says the id of each piece of work that it takes: a worker's process, to be killed or stopped.

import { systemClock } from '../../../src/adapters/clock.ts'
import { openKafkaQueue } from '../../../src/adapters/work-queue/kafka.ts'
import { quiet } from '../kafka-quiet.ts'

const [settings = '{}', does, sessionMs] = process.argv.slice(2)
const options = { settings: JSON.parse(settings), clock: systemClock, logger: quiet, sessionMs: Number(sessionMs) }
const queue = await openKafkaQueue(options)
queue.consume(['default'], { concurrency: 8 }, async ({ id }) => {
  console.log(id)
  if (does === 'holds') await new Promise(() => {})
})
