// The distributed profile as processes of this machine: every role one of its own, on a real Kafka, Redis and PostgreSQL, and on the
// test server of EventStoreDB.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Kafka } from 'kafkajs'
import { KAFKA_PASSWORDS, makeKafkaAccounts, makeRedisAccounts, QUIET } from './accounts.ts'
import { startKafkaBroker } from './kafka-broker.ts'
import { startTestPostgres, type TestPostgres } from './postgres.ts'
import { type Ended, type Program, runNode } from './programs.ts'
import type { OwnServer } from './server-process.ts'
import { findOwnServer } from './servers.ts'

const MAIN = join(import.meta.dirname, '../../src/main.ts')
const STORE = join(import.meta.dirname, 'eventstoredb/main.ts')

type Scope = { onTestFinished(close: () => Promise<void>): void }

/** Roles as processes are named: `worker-1` and `worker-2` have the same. */
export const processes = [
  'api',
  'engine-1',
  'engine-2',
  'reactors-1',
  'reactors-2',
  'projector',
  'worker-1',
  'worker-2',
]

/** Why it cannot be had here; undefined where it can. */
export async function distributedObstacle(): Promise<string | undefined> {
  return (await findOwnServer('kafka')).reason ?? (await findOwnServer('redis')).reason
}

export type Distributed = {
  /** The address where a process answers, the API unless told otherwise, once it has started. */
  url(name?: string): Promise<string>
  readonly kafka: OwnServer
  readonly redis: OwnServer
  readonly postgres: TestPostgres
  /** Settings of every process but its roles and folder; a worker has no more than `ofWorker`. */
  readonly environment: Readonly<Record<string, string>>
  readonly ofWorker: Readonly<Record<string, string>>
  /** Starts a process where none of that name runs. */
  start(name: string): Program
  /** Ends it, and resolves once it has ended, with how; undefined where none of that name runs. */
  end(name: string, signal: NodeJS.Signals): Promise<Ended | undefined>
  /** Kills the event store and starts it again, on its port and data. */
  restartStore(): Promise<void>
  said(): string
}

type Options = {
  readonly names?: readonly string[]
  readonly settings?: Readonly<Record<string, string>>
  /** Kafka and Redis let in who has an account, and workers have those that the documentation gives them. */
  readonly guarded?: boolean
}

export async function startDistributed(
  scope: Scope,
  { names = processes, settings = {}, guarded = false }: Options = {},
): Promise<Distributed> {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-distributed-'))
  scope.onTestFinished(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }))
  const [kafka, redis, postgres] = await Promise.all([
    startKafkaBroker(guarded ? KAFKA_PASSWORDS : undefined),
    findOwnServer('redis').then((found) => found.start()),
    startTestPostgres(),
  ])
  let store = await startStore('0')
  const port = /:(\d+)\?/.exec(store.lines[0]!)![1]!
  const leases = guarded ? await makeRedisAccounts(redis.url) : { worker: redis.url, millrace: redis.url }
  if (guarded) await makeKafkaAccounts(adminOf(kafka))
  const queue = `${kafka.url}${guarded ? '&' : '?'}partitions=4`
  const common = { MILLRACE_LEASE_MS: '6000', MILLRACE_LOG_LEVEL: 'warn', MILLRACE_HEALTH_PORT: '0', ...settings }
  const environment = {
    ...common,
    MILLRACE_EVENT_STORE: `esdb://127.0.0.1:${port}?tls=false`,
    MILLRACE_QUEUE: queue,
    MILLRACE_LEASES: leases.millrace,
    MILLRACE_CACHE: leases.millrace,
    MILLRACE_DATABASE: await postgres.createDatabase(),
    MILLRACE_PORT: '0',
  }
  const ofWorker = {
    ...common,
    MILLRACE_QUEUE: queue.replace(`admin:${KAFKA_PASSWORDS.admin}`, `worker:${KAFKA_PASSWORDS.worker}`),
    MILLRACE_LEASES: leases.worker,
  }
  const running = new Map<string, Program>()
  const said: string[] = []

  async function startStore(on: string): Promise<Program> {
    const program = runNode(STORE, ['--port', on, '--data', join(folder, 'store')])
    await program.until((lines) => lines.length > 0)
    return program
  }

  function start(name: string): Program {
    const known = running.get(name)
    if (known) return known
    const roles = name.replace(/-\d+$/, '')
    const env = roles === 'worker' ? ofWorker : environment
    const program = runNode(MAIN, ['start', '--roles', roles, '--data', join(folder, name)], {
      env: { ...process.env, ...env },
    })
    running.set(name, program)
    return program
  }

  async function end(name: string, signal: NodeJS.Signals): Promise<Ended | undefined> {
    const program = running.get(name)
    running.delete(name)
    if (program === undefined) return undefined
    const ended = await program.stop(signal)
    said.push(...program.errors.slice(-20).map((line) => `${name}: ${line}`))
    return ended
  }

  scope.onTestFinished(async () => {
    await Promise.all([...running.keys()].map((name) => end(name, 'SIGKILL')))
    await store.stop('SIGKILL')
    await Promise.all([kafka.stop(), redis.stop(), postgres.stop()])
  })
  for (const name of names) start(name)

  return {
    ...{ kafka, redis, postgres, environment, ofWorker, start, end },
    async url(name = 'api') {
      const program = start(name)
      await program.until((lines) => lines.some((line) => line.includes('http:')))
      return /http:[^\s)]+/.exec(program.lines.join('\n'))![0]
    },
    async restartStore() {
      await store.stop('SIGKILL')
      store = await startStore(port)
    },
    said: () =>
      [
        ...said,
        ...[...running].flatMap(([name, { errors }]) => errors.slice(-10).map((line) => `${name}: ${line}`)),
      ].join('\n'),
  }
}

function adminOf({ url }: OwnServer): Kafka {
  const sasl = { mechanism: 'plain', username: 'admin', password: KAFKA_PASSWORDS.admin } as const
  return new Kafka({ brokers: [new URL(url).host], sasl, ...QUIET })
}
