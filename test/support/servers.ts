// Where tests get real servers from: a URL in the environment, else a container, else a program of the machine. Where there is none
// of them a suite is skipped by name, with the reason, or fails where REQUIRE_SERVERS names the server, as CI does.
import { GenericContainer, getContainerRuntimeClient, Wait } from 'testcontainers'
import { freePort } from '../../src/adapters/read-models/postmaster.ts'
import { brokerObstacle, startKafkaBroker } from './kafka-broker.ts'
import { findPostgresPrograms, startPostgresServer } from './postgres-server.ts'
import { startRedisServer } from './redis-server.ts'
import type { OwnServer, Server } from './server-process.ts'
import { obstacle } from './skip.ts'

export type Kind = 'redis' | 'postgres' | 'kafka' | 'eventstoredb'

/** How a suite gets its server, or why there is none. */
export type Found<S extends Server> =
  | { readonly reason: undefined; start(): Promise<S> }
  | { readonly reason: string; start(): Promise<never> }

type Source = {
  readonly variable: string
  /** The port is the one inside of the container. */
  readonly container: {
    make(hostPort: number): GenericContainer
    readonly port: number
    url(host: string, port: number): string
  }
  /** A server of the machine, or why there is none. */
  local(): string | (() => Promise<OwnServer>)
}

const sources: Readonly<Record<Kind, Source>> = {
  redis: {
    variable: 'REDIS_URL',
    container: {
      make: () => new GenericContainer('redis:8').withWaitStrategy(Wait.forLogMessage('Ready to accept connections')),
      port: 6379,
      url: (host, port) => `redis://${host}:${port}`,
    },
    local: () => obstacle('redis-server', ['--version']) ?? startRedisServer,
  },
  postgres: {
    variable: 'POSTGRES_URL',
    container: {
      make: () =>
        new GenericContainer('postgres:18')
          .withEnvironment({ POSTGRES_USER: 'millrace', POSTGRES_PASSWORD: 'millrace' })
          .withWaitStrategy(Wait.forLogMessage('database system is ready to accept connections', 2)),
      port: 5432,
      url: (host, port) => `postgres://millrace:millrace@${host}:${port}/postgres`,
    },
    local() {
      const programs = findPostgresPrograms(process.env.PATH ?? '')
      return programs ? () => startPostgresServer(programs) : 'no initdb and postgres on PATH or in /usr/lib/postgresql'
    },
  },
  kafka: {
    variable: 'KAFKA_URL',
    container: {
      // A broker tells its clients its address, and so has to know it before it starts.
      make: (hostPort) =>
        new GenericContainer('apache/kafka:4.1.0')
          .withEnvironment({
            KAFKA_NODE_ID: '1',
            KAFKA_PROCESS_ROLES: 'broker,controller',
            KAFKA_CONTROLLER_QUORUM_VOTERS: '1@localhost:9093',
            KAFKA_CONTROLLER_LISTENER_NAMES: 'CONTROLLER',
            KAFKA_LISTENERS: 'CLIENT://:9092,CONTROLLER://:9093',
            KAFKA_ADVERTISED_LISTENERS: `CLIENT://127.0.0.1:${hostPort}`,
            KAFKA_LISTENER_SECURITY_PROTOCOL_MAP: 'CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT',
            KAFKA_INTER_BROKER_LISTENER_NAME: 'CLIENT',
            KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR: '1',
            KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR: '1',
            KAFKA_TRANSACTION_STATE_LOG_MIN_ISR: '1',
            KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS: '0',
            KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS: '1000',
            KAFKA_AUTO_CREATE_TOPICS_ENABLE: 'false',
          })
          .withWaitStrategy(Wait.forLogMessage('Kafka Server started')),
      port: 9092,
      url: (host, port) => `kafka://${host}:${port}`,
    },
    local: () => brokerObstacle() ?? startKafkaBroker,
  },
  eventstoredb: {
    variable: 'EVENTSTOREDB_URL',
    container: {
      make: () =>
        new GenericContainer('eventstore/eventstore:24.10')
          .withEnvironment({
            EVENTSTORE_CLUSTER_SIZE: '1',
            EVENTSTORE_RUN_PROJECTIONS: 'None',
            EVENTSTORE_INSECURE: 'true',
            EVENTSTORE_MEM_DB: 'true',
          })
          .withWaitStrategy(Wait.forHttp('/health/live', 2113).forStatusCode(204)),
      port: 2113,
      url: (host, port) => `esdb://${host}:${port}?tls=false`,
    },
    local: () => 'it has no program that could be installed here',
  },
}

/** A server to talk to. */
export async function findServer(kind: Kind): Promise<Found<Server>> {
  const { variable, container, local } = sources[kind]
  const given = process.env[variable]
  if (given) return { reason: undefined, start: async () => ({ url: given, stop: async () => {} }) }
  const noContainer = await obstacleToContainers()
  if (noContainer === undefined) return { reason: undefined, start: () => startContainer(container) }
  const here = local()
  if (typeof here !== 'string') return { reason: undefined, start: here }
  return missing(kind, `no ${variable}; ${noContainer}; ${here}`)
}

async function startContainer({ make, port, url }: Source['container']): Promise<Server> {
  const host = await freePort()
  const started = await make(host).withExposedPorts({ container: port, host }).start()
  const stop = async () => void (await started.stop())
  return { url: url(started.getHost(), started.getMappedPort(port)), stop }
}

/** A server to kill, stop and start again: never one that somebody else has given. */
export async function findOwnServer(kind: Kind): Promise<Found<OwnServer>> {
  const here = sources[kind].local()
  if (typeof here !== 'string') return { reason: undefined, start: here }
  return missing(kind, `it would have to be started and killed here: ${here}`)
}

function missing(kind: Kind, why: string): { readonly reason: string; start(): Promise<never> } {
  const reason = `no ${kind}: ${why}`
  const required = (process.env.REQUIRE_SERVERS ?? '').split(',')
  if (required.includes(kind)) throw new Error(`REQUIRE_SERVERS asks for ${kind}, but there is ${reason}`)
  return {
    reason,
    async start() {
      throw new Error(reason)
    },
  }
}

let containers: Promise<string | undefined> | undefined

/** Why no container can be started, or undefined where one can. Asked once for a process, since it may take a while. */
function obstacleToContainers(): Promise<string | undefined> {
  containers ??= getContainerRuntimeClient().then(
    () => undefined,
    (error: Error) => `no Docker engine answers (${error.message.split('\n')[0]})`,
  )
  return containers
}
