/** A server that speaks the Streams protocol of EventStoreDB 24.10, as far as the client of this repository asks for it. */
import gossipService from '@eventstore/db-client/generated/gossip_grpc_pb.js'
import gossip from '@eventstore/db-client/generated/gossip_pb.js'
import featuresService from '@eventstore/db-client/generated/serverfeatures_grpc_pb.js'
import features from '@eventstore/db-client/generated/serverfeatures_pb.js'
import shared from '@eventstore/db-client/generated/shared_pb.js'
import streamsService from '@eventstore/db-client/generated/streams_grpc_pb.js'
import { Server, ServerCredentials, type sendUnaryData } from '@grpc/grpc-js'
import { appendCall, batchAppendCall, deleteCall, tombstoneCall, Writer } from './appending.ts'
import { Faults } from './faults.ts'
import { readCall } from './reading.ts'
import { ServerLog } from './server-log.ts'

type Settings = {
  /** 0 picks one. */
  readonly port?: number
  /** Undefined keeps everything in memory, also over a restart. */
  readonly folder?: string
  readonly saysCaughtUp?: boolean
  readonly credentials?: ServerCredentials
}

export class EventStoreDbServer {
  readonly faults = new Faults()
  readonly #settings: Settings
  #log: ServerLog
  #server: Server | undefined
  #port: number
  #waiting: (() => void)[] = []

  constructor(settings: Settings = {}) {
    this.#settings = settings
    this.#port = settings.port ?? 0
    this.#log = new ServerLog(settings.folder)
  }

  static async start(settings?: Settings): Promise<EventStoreDbServer> {
    const server = new EventStoreDbServer(settings)
    await server.start()
    return server
  }

  get port(): number {
    return this.#port
  }

  /** For clients without TLS. */
  get url(): string {
    return `esdb://127.0.0.1:${this.#port}?tls=false`
  }

  async start(): Promise<void> {
    const server = new Server({ 'grpc.max_receive_message_length': 17 * 1024 * 1024 })
    const writing = { log: this.#log, faults: this.faults, committed: () => this.#wake() }
    const writer = new Writer(writing)
    server.addService(streamsService.StreamsService, {
      read: readCall({
        log: this.#log,
        faults: this.faults,
        saysCaughtUp: this.#settings.saysCaughtUp ?? true,
        moved: () => new Promise((resolve) => this.#waiting.push(resolve)),
        wake: () => this.#wake(),
      }),
      append: appendCall(writer, this.faults),
      batchAppend: batchAppendCall(writer),
      delete: deleteCall(writing),
      tombstone: tombstoneCall(writing),
    })
    server.addService(featuresService.ServerFeaturesService, { getSupportedMethods })
    server.addService(gossipService.GossipService, { read: this.#gossip })
    const credentials = this.#settings.credentials ?? ServerCredentials.createInsecure()
    this.#port = await new Promise<number>((resolve, reject) =>
      server.bindAsync(`127.0.0.1:${this.#port}`, credentials, (error, port) =>
        error ? reject(error) : resolve(port),
      ),
    )
    this.#server = server
  }

  /** Ends every connection at once, as a crash does; what was answered is kept. */
  async stop(): Promise<void> {
    this.#server?.forceShutdown()
    this.#server = undefined
    this.#wake()
  }

  /** Stops, forgets what a restart makes it forget, and starts again on the same port. */
  async restart(): Promise<void> {
    await this.stop()
    if (this.#settings.folder !== undefined) {
      this.#log.close()
      this.#log = new ServerLog(this.#settings.folder)
    }
    await this.start()
  }

  async close(): Promise<void> {
    await this.stop()
    this.#log.close()
  }

  #wake(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const done of waiting) done()
  }

  /** One node, which leads. */
  readonly #gossip = (_: unknown, answer: sendUnaryData<gossip.ClusterInfo>): void => {
    const member = new gossip.MemberInfo()
      .setInstanceId(new shared.UUID().setString('00000000-0000-4000-8000-000000000001'))
      .setTimeStamp('0')
      .setState(gossip.MemberInfo.VNodeState.LEADER)
      .setIsAlive(true)
      .setHttpEndPoint(new gossip.EndPoint().setAddress('127.0.0.1').setPort(this.#port))
    answer(null, new gossip.ClusterInfo().setMembersList([member]))
  }
}

/** ServerFeatures.cs: names in lower case, and what each can do. */
function getSupportedMethods(_: unknown, answer: sendUnaryData<features.SupportedMethods>): void {
  const methods = [
    ['read', 'position', 'events'],
    ['append'],
    ['delete'],
    ['tombstone'],
    ['batchappend', 'deadline_duration'],
  ].map(([name = '', ...can]) =>
    new features.SupportedMethod()
      .setServiceName('event_store.client.streams.streams')
      .setMethodName(name)
      .setFeaturesList(can),
  )
  answer(null, new features.SupportedMethods().setEventStoreServerVersion('24.10.0').setMethodsList(methods))
}
