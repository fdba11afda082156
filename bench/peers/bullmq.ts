import { FlowProducer, QueueEvents, Worker } from 'bullmq'
import { assertComplete, STAGES, type StartPeer } from './peer.ts'
import { startRedis } from './redis.ts'
import { LOOPBACK } from './server.ts'

const QUEUE = 'five-stages'
const RUN_WITHIN_MS = 60_000

interface Stage {
  readonly name: string
  readonly queueName: string
  readonly data: { readonly stage: number }
  readonly children?: Stage[]
}

/** A parent waits for its child, so the last stage is the root of the tree and the first one its leaf. */
function chain(stage: number): Stage {
  const job = { name: `stage-${stage}`, queueName: QUEUE, data: { stage } }
  return stage === 1 ? job : { ...job, children: [chain(stage - 1)] }
}

export const start: StartPeer = async (stack, concurrency) => {
  const connection = { host: LOOPBACK, port: await startRedis(stack) }

  const worker = new Worker<Stage['data'], number>(QUEUE, async (job) => job.data.stage, { connection, concurrency })
  stack.defer(() => worker.close())
  const events = new QueueEvents(QUEUE, { connection })
  stack.defer(() => events.close())
  const producer = new FlowProducer({ connection })
  stack.defer(() => producer.close())
  worker.on('error', report)
  events.on('error', report)
  producer.on('error', report)
  // Every awaited job listens for its closing.
  producer.setMaxListeners(0)
  await Promise.all([worker.waitUntilReady(), events.waitUntilReady(), producer.waitUntilReady()])

  return {
    durable: 'relaxed: append-only file, fsync every second',
    async run() {
      const { job } = await producer.add(chain(STAGES))
      assertComplete(await job.waitUntilFinished(events, RUN_WITHIN_MS))
    },
  }
}

function report(error: Error): void {
  console.error(error)
}
