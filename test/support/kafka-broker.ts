// A real Kafka broker without Docker: the jars of a release, one process as broker and controller, a folder of its own.
import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Kafka, logLevel } from 'kafkajs'
import { freePort } from '../../src/adapters/read-models/postmaster.ts'
import { hasJars, jarFolder } from './kafka/jars.ts'
import { type OwnServer, startServerProcess } from './server-process.ts'
import { obstacle } from './skip.ts'

const ASK_EVERY_MS = 200

/** Why no broker can be started on this machine; undefined where one can. */
export const brokerObstacle = (): string | undefined =>
  obstacle('java', ['-version']) ?? (hasJars() ? undefined : 'no jars of Kafka; node scripts/kafka-jars.ts brings them')

/** Passwords by name. */
type Accounts = Readonly<Record<string, string>>

/** @param accounts where it asks who one is: `admin` may do everything then, anybody else what it is allowed */
export async function startKafkaBroker(accounts?: Accounts & Readonly<{ admin: string }>): Promise<OwnServer> {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-kafka-'))
  const [port, controllerPort] = [await freePort(), await freePort()]
  writeFileSync(join(folder, 'server.properties'), properties({ folder, port, controllerPort, accounts }))
  format(folder)
  return startServerProcess({
    url: accounts ? `kafka://admin:${accounts.admin}@127.0.0.1:${port}?mechanism=plain` : `kafka://127.0.0.1:${port}`,
    folder,
    command: 'java',
    args: [...JAVA, '-cp', join(jarFolder(), '*'), 'kafka.Kafka', join(folder, 'server.properties')],
    askEveryMs: ASK_EVERY_MS,
    isReady: () => answers(port, accounts?.admin),
    async empty() {
      rmSync(join(folder, 'data'), { recursive: true })
      format(folder)
    },
  })
}

type BrokerOptions = {
  readonly folder: string
  readonly port: number
  readonly controllerPort: number
  readonly accounts?: Accounts | undefined
}

const properties = ({ folder, port, controllerPort, accounts }: BrokerOptions): string =>
  Object.entries({
    'process.roles': 'broker,controller',
    'node.id': 1,
    'controller.quorum.voters': `1@127.0.0.1:${controllerPort}`,
    'controller.listener.names': 'CONTROLLER',
    listeners: `CLIENT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}`,
    'advertised.listeners': `CLIENT://127.0.0.1:${port}`,
    'inter.broker.listener.name': 'CLIENT',
    'listener.security.protocol.map': `CLIENT:${accounts ? 'SASL_' : ''}PLAINTEXT,CONTROLLER:PLAINTEXT`,
    ...(accounts && guarding(accounts)),
    'log.dirs': join(folder, 'data'),
    'auto.create.topics.enable': false,
    'offsets.topic.num.partitions': 4,
    'offsets.topic.replication.factor': 1,
    'transaction.state.log.replication.factor': 1,
    'transaction.state.log.min.isr': 1,
    'group.initial.rebalance.delay.ms': 0,
    // So that a test need not wait long for a consumer to be taken for dead.
    'group.min.session.timeout.ms': 1_000,
    // One that was killed is let in again once the controller has given up the old one.
    'broker.session.timeout.ms': 3_000,
    'broker.heartbeat.interval.ms': 500,
  })
    .map(([name, value]) => `${name}=${value}\n`)
    .join('')

function guarding(accounts: Accounts): Readonly<Record<string, string>> {
  const users = Object.entries(accounts).map(([name, password]) => `user_${name}="${password}"`)
  const own = `username="admin" password="${accounts.admin}"`
  return {
    'sasl.enabled.mechanisms': 'PLAIN',
    'sasl.mechanism.inter.broker.protocol': 'PLAIN',
    'listener.name.client.plain.sasl.jaas.config': `org.apache.kafka.common.security.plain.PlainLoginModule required ${own} ${users.join(' ')};`,
    'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
    // The controller's own listener, which is not for clients, asks nobody who he is.
    'super.users': 'User:admin;User:ANONYMOUS',
  }
}

/** A small heap, and the compiler that starts soonest: a broker of tests lives for seconds. */
const JAVA = [
  '-Xmx512m',
  '-XX:+UseSerialGC',
  '-XX:TieredStopAtLevel=1',
  '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn',
]

function format(folder: string): void {
  // May begin with a hyphen, which after a space would be another option.
  const id = randomBytes(16).toString('base64url')
  const args = ['kafka.tools.StorageTool', 'format', `--cluster-id=${id}`, '-c', join(folder, 'server.properties')]
  const { status, stderr } = spawnSync('java', [...JAVA, '-cp', join(jarFolder(), '*'), ...args], { encoding: 'utf8' })
  if (status !== 0) throw new Error(`the folder of the broker could not be made: ${stderr}`)
}

async function answers(port: number, password?: string): Promise<void> {
  const sasl = password === undefined ? {} : { sasl: { mechanism: 'plain' as const, username: 'admin', password } }
  const brokers = [`127.0.0.1:${port}`]
  const admin = new Kafka({ brokers, ...sasl, logLevel: logLevel.NOTHING, retry: { retries: 0 } }).admin()
  try {
    await admin.connect()
    if ((await admin.describeCluster()).brokers.length !== 1) throw new Error('it is not in its own cluster yet')
  } finally {
    await admin.disconnect()
  }
}
