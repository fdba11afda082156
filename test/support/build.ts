// A whole Millrace behind its HTTP server, with real parts on a temporary folder; it closes itself when the test is over.
import { generateKeyPairSync } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import type { Pool } from 'pg'
import { signerOf } from '../../src/adapters/audit-key.ts'
import { systemClock } from '../../src/adapters/clock.ts'
import { FileArchive } from '../../src/adapters/event-store/archive-files.ts'
import { ArchivedEventStore } from '../../src/adapters/event-store/archived.ts'
import { EmbeddedEventStore } from '../../src/adapters/event-store/embedded.ts'
import { createMemoryLeases } from '../../src/adapters/leases/memory.ts'
import { migrate } from '../../src/adapters/read-models/migrate.ts'
import { createPool } from '../../src/adapters/read-models/pool.ts'
import { createFileStageLogs } from '../../src/adapters/stage-logs/files.ts'
import { createMemoryQueue } from '../../src/adapters/work-queue/memory.ts'
import { createServer, type Limits, type ServerOptions } from '../../src/api/server.ts'
import { type App, createApp, type Ports } from '../../src/app.ts'
import { newId } from '../../src/commands/new-id.ts'
import { executionStream } from '../../src/domain/execution/events.ts'
import type { Clock } from '../../src/ports/clock.ts'
import { type EventStore, START } from '../../src/ports/event-store.ts'
import { type Handler, StageFailure } from '../../src/ports/handler.ts'
import { createProjectionKeeper } from '../../src/projections/keeper.ts'
import { startProjector } from '../../src/projections/start.ts'
import { createQueries } from '../../src/queries/create-queries.ts'
import type { Queries } from '../../src/queries/queries.ts'
import { type CheckLog, createCheckLog } from '../../src/verification/check-log.ts'
import type { StageWorker } from '../../src/workers/worker.ts'
import { silent, type TestPostgres } from './postgres.ts'

export type Scope = { onTestFinished(close: () => Promise<void>): void }

export type Built = {
  readonly server: FastifyInstance
  readonly store: EventStore
  readonly app: App
  readonly ports: Ports
  readonly pool: Pool
  readonly queries: Queries
  /** The worker that every test has, and one more that has these labels. */
  readonly worker: StageWorker
  startWorker(labels: readonly string[]): StageWorker
  /** Resolves once the run has ended. */
  ended(id: string): Promise<void>
  /** Resolves once the run has an event of that type. */
  happened(id: string, type: string): Promise<void>
  /** Listens on a free port of the loopback interface. */
  listen(): Promise<{ readonly port: number; readonly url: string }>
}

/**
 * @param options.projecting false keeps the read models where they are: at nothing
 * @param options.acting false leaves the log alone: what a test writes there stays all that happened
 */
export async function build(
  t: Scope,
  postgres: TestPostgres,
  options: {
    limits?: Partial<Limits>
    projecting?: boolean
    acting?: boolean
    queries?: (real: Queries) => Queries
    ready?: ServerOptions['ready']
    clock?: Clock
    checkLog?: (real: CheckLog) => CheckLog
    /** Besides those that every test has. */
    handlers?: readonly Handler[]
  } = {},
): Promise<Built> {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-api-'))
  const archive = new FileArchive(join(folder, 'archive'))
  const store = new ArchivedEventStore(await EmbeddedEventStore.open(join(folder, 'log')), archive)
  const clock = options.clock ?? systemClock
  const ports = {
    store,
    archive,
    clock,
    queue: createMemoryQueue(clock),
    leases: createMemoryLeases(clock),
    signer: signerOf(generateKeyPairSync('ed25519').privateKey),
    logs: createFileStageLogs({ dir: join(folder, 'logs'), clock, warn: () => {} }),
  }
  const url = await postgres.createDatabase()
  await migrate(url)
  const pool = createPool(url)
  const real = createQueries({ url, pool, head: () => store.head() })
  const queries = options.queries?.(real) ?? real
  const app = createApp(ports, queries, silent, undefined, {
    checkLog: (options.checkLog ?? ((real) => real))(createCheckLog(store, url)),
    pool,
    keeper: createProjectionKeeper(pool),
  })
  const stop = new AbortController()
  const projector =
    options.projecting === false ? undefined : startProjector({ store, pool, logger: silent, signal: stop.signal })
  const reactors = options.acting === false ? undefined : app.startReactors()
  await reactors?.ready
  const handlers = new Map([echo, flaky, forever, ...(options.handlers ?? [])].map((one) => [one.name, one]))
  const about = { host: 'test', pid: process.pid, version: '0.0.0' }
  const workers: StageWorker[] = []
  const startWorker = (labels: readonly string[]): StageWorker => {
    const started = app.startWorker({ id: newId(), handlers, queues: ['default'], labels, concurrency: 16, about })
    workers.push(started)
    return started
  }
  const worker = startWorker([])
  await worker.registered
  const server = createServer(app, {
    logger: silent,
    ready: options.ready ?? (async () => ({ ok: true, checks: { readModels: true } })),
    ...(options.limits ? { limits: options.limits } : {}),
  })
  await server.ready()

  t.onTestFinished(async () => {
    await server.close()
    await Promise.all(workers.map((one) => one.drain(1_000)))
    await reactors?.stop()
    stop.abort()
    await projector?.stopped
    await real.close()
    await pool.end()
    await store.close()
    await rm(folder, { recursive: true, force: true })
  })
  const happened = (id: string, type: RegExp) => waitFor(store, executionStream(id), type)
  return {
    server,
    store,
    app,
    ports,
    pool,
    queries,
    worker,
    startWorker,
    ended: (id) => happened(id, /^Execution(?:Completed|Failed|Cancelled)$/),
    happened: (id, type) => happened(id, new RegExp(`^${type}$`)),
    async listen() {
      const address = await server.listen({ port: 0, host: '127.0.0.1' })
      return { url: address, port: Number(new URL(address).port) }
    },
  }
}

const echo: Handler = {
  name: 'echo',
  async run({ input, log }) {
    for (const line of ['one', 'two', 'three']) log(line)
    return input
  },
}
const flaky: Handler = {
  name: 'flaky',
  async run({ attempt }) {
    if (attempt === 1) throw new StageFailure({ code: 'FLAKY', message: 'the first attempt fails', retryable: true })
    return { attempt }
  },
}
const forever: Handler = {
  name: 'forever',
  run: ({ signal }) => new Promise((resolve) => signal.addEventListener('abort', () => resolve(null), { once: true })),
}

async function waitFor(store: EventStore, stream: string, type: RegExp): Promise<void> {
  const found = new AbortController()
  for await (const { events } of store.subscribe({ after: START, prefixes: [stream], signal: found.signal }))
    if (events.some((event) => type.test(event.type))) return found.abort()
}
