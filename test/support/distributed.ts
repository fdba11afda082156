// The distributed profile as processes of this machine: every role one of its own, on a real Kafka, Redis and PostgreSQL, and on the
// test server of EventStoreDB.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type KafkaBroker, kafkaObstacle, startKafkaBroker } from './kafka-broker.ts'
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
  return kafkaObstacle() ?? (await findOwnServer('redis')).reason
}

export type Distributed = {
  /** The address of the API, once it is ready. */
  url(): Promise<string>
  readonly kafka: KafkaBroker
  readonly redis: OwnServer
  readonly postgres: TestPostgres
  /** Settings of every process but its roles and folder. */
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Starts a process where none of that name runs. */
  start(name: string): Program
  /** Ends it, and resolves once it has ended, with how; undefined where none of that name runs. */
  end(name: string, signal: NodeJS.Signals): Promise<Ended | undefined>
  /** Kills the event store and starts it again, on its port and data. */
  restartStore(): Promise<void>
  said(): string
}

export async function startDistributed(
  scope: Scope,
  names: readonly string[] = processes,
  more: Readonly<Record<string, string>> = {},
): Promise<Distributed> {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-distributed-'))
  scope.onTestFinished(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }))
  const [kafka, redis, postgres] = await Promise.all([
    startKafkaBroker().then((broker) => broker!),
    findOwnServer('redis').then((found) => found.start()),
    startTestPostgres(),
  ])
  let store = await startStore('0')
  const port = /:(\d+)\?/.exec(store.lines[0]!)![1]!
  const environment: Readonly<Record<string, string>> = {
    MILLRACE_EVENT_STORE: `esdb://127.0.0.1:${port}?tls=false`,
    MILLRACE_QUEUE: `${kafka.url}?partitions=4`,
    MILLRACE_LEASES: redis.url,
    MILLRACE_DATABASE: await postgres.createDatabase(),
    MILLRACE_LEASE_MS: '6000',
    MILLRACE_LOG_LEVEL: 'warn',
    MILLRACE_PORT: '0',
    ...more,
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
    // What a worker does not need it is not given.
    const { MILLRACE_EVENT_STORE: _, MILLRACE_DATABASE: __, ...ofWorker } = environment
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
    ...{ kafka, redis, postgres, environment, start, end },
    async url() {
      const program = start('api')
      await program.until((lines) => lines.some((line) => line.includes('listens on')))
      return /http:\S+/.exec(program.lines.join('\n'))![0]
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
