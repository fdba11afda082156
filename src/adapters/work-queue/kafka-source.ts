// The work of one route, as one consumer gets it: from the partitions of its topic that are this consumer's just now.
import type { Work } from '../../domain/execution/work.ts'
import type { Logger } from '../../ports/logger.ts'
import type { Administration } from '../kafka/administration.ts'
import type { StoredRecord } from '../kafka/client.ts'
import { encodeNotes, type Ledger } from '../kafka/ledger.ts'
import { type Member, startMember } from '../kafka/member.ts'
import type { Outgoing } from '../kafka/sender.ts'
import type { KafkaSettings } from '../kafka/url.ts'
import { openLedgers } from './kafka-ledgers.ts'
import { deadLetter, headOf, parse } from './kafka-message.ts'
import { deadLetterTopic } from './kafka-topics.ts'
import { type Entry, Line } from './line.ts'
import type { Route } from './taker.ts'

export type SourceOptions = {
  readonly settings: KafkaSettings
  readonly logger: Logger
  readonly administration: Administration
  readonly topic: string
  readonly route: string
  readonly sessionMs: number
  /** It holds so much that waits; the rest stays with the broker until there is room. */
  readonly maxWaiting: number
  /** Where so much is done the broker may forget it. */
  readonly purgeEvery: number
  send(messages: readonly Outgoing[]): Promise<void>
  /** There is more to be taken. */
  arrived(): void
}

/** Where a piece of work stands in the topic. */
type Place = { readonly partition: number; readonly offset: number; readonly bytes: number }

const REBALANCING = ['REBALANCE_IN_PROGRESS', 'ILLEGAL_GENERATION', 'UNKNOWN_MEMBER_ID']
const COMMIT_EVERY_MS = 250
const MAX_WAITING_BYTES = 67_108_864

export class Source implements Route {
  readonly name: string
  readonly line = new Line()
  running = 0
  readonly #options: SourceOptions
  readonly #member: Member
  #ledgers = new Map<number, Ledger>()
  readonly #waiting = new Map<string, Place & { readonly entry: Entry }>()
  readonly #taken = new Map<string, Place>()
  #waitingBytes = 0
  #paused = false
  #closed = false
  #generation = 0
  #opened: Promise<void> = new Promise(() => {})
  #committing: Promise<void> | undefined
  readonly #timer: NodeJS.Timeout
  readonly #purged = new Map<number, number>()
  readonly #ready = Promise.withResolvers<void>()
  /** Up to where each partition was full when it became ours. */
  #ends: ReadonlyMap<number, number> = new Map()

  constructor(options: SourceOptions) {
    this.#options = options
    this.name = options.route
    const { settings, logger, topic, sessionMs } = options
    this.#member = startMember({
      ...{ settings, logger, topic, sessionMs, group: topic },
      joined: (partitions) => this.#joined(partitions),
      batch: (partition, records) => this.#batch(partition, records),
    })
    this.#timer = setInterval(() => void this.commit(), COMMIT_EVERY_MS)
  }

  /** Resolves once it has what was waiting when it came, or as much of it as it may hold: before that there is no order to keep. */
  get ready(): Promise<void> {
    return this.#ready.promise
  }

  /** The entry has been taken off the line. */
  started({ work: { id } }: Entry): void {
    const { entry: _, ...place } = this.#waiting.get(id)!
    this.#waiting.delete(id)
    this.#taken.set(id, place)
    this.#waitingBytes -= place.bytes
    this.#ledgers.get(place.partition)?.runs(place.offset)
    if (this.#hasRoom(2)) this.#resume()
  }

  /** Whoever waits for it to be done need not; what was taken goes on. */
  withdraw(id: string): void {
    const waits = this.#waiting.get(id)
    if (waits === undefined || !this.line.remove(waits.entry)) return
    this.#waiting.delete(id)
    this.#waitingBytes -= waits.bytes
    this.#ledgers.get(waits.partition)?.done(waits.offset)
    if (this.#hasRoom(2)) this.#resume()
  }

  finished({ work: { id } }: Entry): void {
    const place = this.#release(id)
    this.#ledgers.get(place.partition)?.done(place.offset)
  }

  /** It waits again, unless its partition is another's by now, who has it waiting. */
  again({ work }: Entry, deliveries: number): void {
    const place = this.#release(work.id)
    if (this.#ledgers.get(place.partition)?.failed(place.offset, deliveries)) this.#wait(work, place, deliveries)
  }

  /** Nobody is to be given it again. Rejects when it could not be kept, and then it comes again. */
  async setAside({ work, deliveries }: Entry, reason: string): Promise<void> {
    const { partition, offset } = this.#taken.get(work.id)!
    const headers = { kind: 'work', version: '1', id: work.id, namespace: work.namespace }
    const buffers = Object.entries(headers).map(([name, text]) => [name, Buffer.from(text)])
    const [key, value] = [Buffer.from(work.executionId), Buffer.from(JSON.stringify(work))]
    const record = { offset: String(offset), key, value, headers: Object.fromEntries(buffers), timestamp: '' }
    try {
      await this.#sendAside(partition, record, reason)
      this.finished({ work } as Entry)
    } catch (error) {
      this.again({ work } as Entry, deliveries)
      throw error
    }
  }

  /** Says to the brokers what is done. Never rejects: what could not be committed is tried again. */
  async commit(): Promise<void> {
    // One that began before what the caller wants to be known would not have it.
    await this.#committing
    this.#committing ??= this.#commit().finally(() => {
      this.#committing = undefined
    })
    await this.#committing
  }

  /** Nobody waits for it any more. */
  settle(): void {
    this.#ready.resolve()
    this.#closed = true
  }

  async close(): Promise<void> {
    this.settle()
    clearInterval(this.#timer)
    await this.commit()
    await this.#member.close()
  }

  #release(id: string): Place {
    const place = this.#taken.get(id)!
    this.#taken.delete(id)
    return place
  }

  #wait(work: Work, place: Place, deliveries: number): void {
    this.#waiting.set(work.id, { ...place, entry: this.line.push(work, deliveries) })
    this.#waitingBytes += place.bytes
  }

  #hasRoom(share = 1): boolean {
    const { maxWaiting } = this.#options
    return this.line.size * share < maxWaiting && this.#waitingBytes * share < MAX_WAITING_BYTES
  }

  #resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#member.resume()
  }

  /**
   * What waits may be another's now, and comes again where it is not. What was taken goes on: where its partition is still ours
   * it is found again by where it stands, and otherwise the lease decides who does it.
   */
  #joined(partitions: readonly number[]): void {
    const generation = ++this.#generation
    for (const { entry } of this.#waiting.values()) this.line.remove(entry)
    this.#waiting.clear()
    this.#waitingBytes = 0
    this.#resume()
    const before = this.#ledgers
    this.#ledgers = new Map()
    this.#opened = this.#open(generation, partitions, before)
    // It is only given up for the next one.
    this.#opened.catch(() => {})
  }

  async #open(generation: number, partitions: readonly number[], before: ReadonlyMap<number, Ledger>): Promise<void> {
    const isWanted = () => generation === this.#generation && !this.#closed
    const { ledgers, ends } = await openLedgers(this.#options, partitions, before, isWanted)
    this.#ledgers = ledgers
    this.#ends = ends
    this.#sayWhenReady()
  }

  #sayWhenReady(): void {
    const isFull = this.#paused
    const all = [...this.#ledgers]
    if (isFull || all.every(([partition, ledger]) => ledger.next >= (this.#ends.get(partition) ?? 0)))
      this.#ready.resolve()
  }

  async #batch(partition: number, records: readonly StoredRecord[]): Promise<number> {
    await this.#opened
    const ledger = this.#ledgers.get(partition)
    if (ledger === undefined) return 0
    let taken = 0
    for (const record of records) {
      if (!this.#hasRoom()) break
      this.#take(ledger, partition, record)
      taken++
    }
    if (taken < records.length) {
      this.#paused = true
      this.#member.pause()
    }
    this.#sayWhenReady()
    this.#options.arrived()
    return taken
  }

  #take(ledger: Ledger, partition: number, record: StoredRecord): void {
    const offset = Number(record.offset)
    const isNew = ledger.arrived(offset)
    // What is taken back is taken back again when it comes again, since what it means may have come again as well.
    if (!isNew && headOf(record).kind !== 'withdrawn') return
    const incoming = parse(record, this.#options.settings.prefix, this.#options.topic)
    if (incoming.kind === 'bad') void this.#refuse(ledger, partition, record, incoming.reason)
    else if (incoming.kind === 'withdrawn') {
      this.withdraw(incoming.id)
      ledger.done(offset)
    } else this.#expect(ledger, incoming.work, { partition, offset, bytes: incoming.bytes })
  }

  #expect(ledger: Ledger, work: Work, place: Place): void {
    const taken = this.#taken.get(work.id)
    if (taken?.partition === place.partition && taken.offset === place.offset) ledger.runs(place.offset)
    // One that comes twice is done when the first one is, which stands before it.
    else if (taken || this.#waiting.has(work.id)) ledger.done(place.offset)
    else this.#wait(work, place, ledger.deliveries(place.offset))
  }

  async #refuse(ledger: Ledger, partition: number, record: StoredRecord, reason: string): Promise<void> {
    const { logger, topic } = this.#options
    const { offset } = record
    try {
      await this.#sendAside(partition, record, reason)
      ledger.done(Number(offset))
      logger.warn({ topic, partition, offset, reason }, 'a message is no work and was put with the dead letters')
    } catch (err) {
      logger.warn({ topic, partition, offset, err }, 'a message that is no work will be looked at again')
    }
  }

  async #sendAside(partition: number, record: StoredRecord, reason: string): Promise<void> {
    const { settings, topic, send } = this.#options
    await send([deadLetter(deadLetterTopic(settings.prefix), { topic, partition, record }, reason)])
  }

  async #commit(): Promise<void> {
    const dirty = [...this.#ledgers].filter(([, ledger]) => ledger.dirty)
    if (dirty.length === 0) return
    const offsets = dirty.map(([partition, ledger]) => {
      ledger.dirty = false
      const { position, notes } = ledger
      return { partition, offset: String(position), metadata: encodeNotes(position, notes) }
    })
    const committed = await this.#member.commit(offsets).catch((err) => this.#notCommitted(err))
    if (!committed) for (const [, ledger] of dirty) ledger.dirty = true
    else await this.#purge(dirty.map(([partition, { position }]) => [partition, position]))
  }

  /** While the group is put together anew nothing can be committed, and what is done stays noted. */
  #notCommitted(err: { type?: string }): false {
    if (!REBALANCING.includes(err.type ?? ''))
      this.#options.logger.warn({ topic: this.#options.topic, err }, 'what is done could not be committed to Kafka yet')
    return false
  }

  async #purge(positions: readonly (readonly [partition: number, position: number])[]): Promise<void> {
    const { administration, topic, purgeEvery } = this.#options
    const due = positions.filter(([partition, at]) => at - (this.#purged.get(partition) ?? 0) >= purgeEvery)
    if (due.length === 0) return
    for (const [partition, position] of due) this.#purged.set(partition, position)
    const partitions = due.map(([partition, position]) => ({ partition, offset: String(position) }))
    await administration
      .ask((admin) => admin.deleteTopicRecords({ topic, partitions }))
      .catch((err) => this.#options.logger.warn({ topic, err }, 'what is done could not be removed from Kafka yet'))
  }
}
