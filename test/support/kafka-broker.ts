// A real Kafka broker without Docker: the jars of a release, one process as broker and controller, a folder of its own.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pass } from 'node:timers/promises'
import { Kafka, logLevel } from 'kafkajs'
import { hasJars, jarFolder } from './kafka/jars.ts'
import { obstacle } from './skip.ts'

export type KafkaBroker = {
  /** `kafka://127.0.0.1:PORT`, with the account of `admin` where it is guarded. */
  readonly url: string
  stop(): Promise<void>
  /** As a power cut: SIGKILL. */
  kill(): Promise<void>
  /** Starts it again on the same folder and ports, and resolves once it answers. */
  restart(): Promise<void>
  /** Holds it up without ending it, so that connections stay open and nothing answers. */
  pause(): void
  resume(): void
}

const START_WITHIN_MS = 60_000
const ASK_EVERY_MS = 200

/** Why no broker can be started here; undefined where one can. @throws where REQUIRE_SERVERS asks for one, as CI does */
export function kafkaObstacle(): string | undefined {
  if (process.env.KAFKA_URL !== undefined) return undefined
  const reason =
    obstacle('java', ['-version']) ??
    (hasJars() ? undefined : 'no jars of Kafka; node scripts/kafka-jars.ts brings them')
  if (reason !== undefined && (process.env.REQUIRE_SERVERS ?? '').split(',').includes('kafka'))
    throw new Error(`REQUIRE_SERVERS asks for kafka, but there is none: ${reason}`)
  return reason
}

/** Undefined where `kafkaObstacle` says why. The broker that KAFKA_URL names goes first; it is not ours to stop or harm. */
export async function startKafkaBroker(): Promise<KafkaBroker | undefined> {
  if (kafkaObstacle() !== undefined) return undefined
  const given = process.env.KAFKA_URL
  return given === undefined ? startOwn() : theirs(given)
}

/** One that asks who one is: `admin` may do everything, anybody else what it is allowed. @param accounts passwords by name */
export const startGuardedBroker = (accounts: Readonly<{ admin: string }> & Accounts): Promise<KafkaBroker> =>
  startOwn(accounts)

type Accounts = Readonly<Record<string, string>>

function theirs(url: string): KafkaBroker {
  const refuse = (): never => {
    throw new Error(`the broker at KAFKA_URL is not to be harmed; unset it for this test`)
  }
  return { url, stop: async () => {}, kill: refuse, restart: refuse, pause: refuse, resume: refuse }
}

async function startOwn(accounts?: Accounts): Promise<KafkaBroker> {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-kafka-'))
  const [port, controllerPort] = [await freePort(), await freePort()]
  writeFileSync(join(folder, 'server.properties'), properties({ folder, port, controllerPort, accounts }))
  format(folder)
  let child: ChildProcess
  const end = () => child?.kill('SIGKILL')
  process.once('exit', end)

  const start = async (): Promise<void> => {
    child = run(folder, ['kafka.Kafka', join(folder, 'server.properties')])
    await answering(child, port, folder, accounts?.admin)
  }
  const endWith = async (signal: 'SIGTERM' | 'SIGKILL'): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    // One that is paused takes no SIGTERM.
    if (signal === 'SIGTERM') child.kill('SIGCONT')
    child.kill(signal)
    await ended
  }
  await start()
  return {
    url: accounts ? `kafka://admin:${accounts.admin}@127.0.0.1:${port}?mechanism=plain` : `kafka://127.0.0.1:${port}`,
    async stop() {
      await endWith('SIGKILL')
      process.off('exit', end)
      rmSync(folder, { recursive: true, force: true })
    },
    kill: () => endWith('SIGKILL'),
    async restart() {
      await endWith('SIGTERM')
      await start()
    },
    pause: () => void child.kill('SIGSTOP'),
    resume: () => void child.kill('SIGCONT'),
  }
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

const run = (folder: string, args: readonly string[]): ChildProcess =>
  spawn(
    'java',
    [...JAVA, `-Dorg.slf4j.simpleLogger.logFile=${join(folder, 'broker.log')}`, '-cp', join(jarFolder(), '*'), ...args],
    {
      stdio: 'ignore',
    },
  )

function format(folder: string): void {
  // May begin with a hyphen, which after a space would be another option.
  const id = randomBytes(16).toString('base64url')
  const args = ['kafka.tools.StorageTool', 'format', `--cluster-id=${id}`, '-c', join(folder, 'server.properties')]
  const { status, stderr } = spawnSync('java', [...JAVA, '-cp', join(jarFolder(), '*'), ...args], { encoding: 'utf8' })
  if (status !== 0) throw new Error(`the folder of the broker could not be made: ${stderr}`)
}

async function answering(child: ChildProcess, port: number, folder: string, password?: string): Promise<void> {
  const sasl = password === undefined ? {} : { sasl: { mechanism: 'plain' as const, username: 'admin', password } }
  const brokers = [`127.0.0.1:${port}`]
  const kafka = new Kafka({ brokers, ...sasl, logLevel: logLevel.NOTHING, retry: { retries: 0 } })
  const untilMs = Date.now() + START_WITHIN_MS
  while (child.exitCode === null && Date.now() < untilMs) {
    const admin = kafka.admin()
    try {
      await admin.connect()
      const { brokers } = await admin.describeCluster()
      if (brokers.length === 1) return
    } catch {
      // Not yet.
    } finally {
      await admin.disconnect()
    }
    await pass(ASK_EVERY_MS)
  }
  child.kill('SIGKILL')
  throw new Error(`the broker does not answer: ${readFileSync(join(folder, 'broker.log'), 'utf8').slice(-4_000)}`)
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}
