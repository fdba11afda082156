// What is not done of a topic, as any process can tell from what the brokers have: records, committed offsets and their notes.
import type { Administration } from '../kafka/administration.ts'
import type { StoredRecord } from '../kafka/client.ts'
import { decodeNotes, type Notes } from '../kafka/ledger.ts'
import type { Reader } from '../kafka/reader.ts'
import { headOf } from './kafka-message.ts'

export type PartitionState = {
  readonly partition: number
  /** Everything before it is done. */
  readonly committed: number
  readonly notes: Notes
  readonly end: number
  /** How much was taken of all that ever was there. */
  readonly taken: number
}

export async function partitionStates(
  administration: Administration,
  topic: string,
): Promise<readonly PartitionState[]> {
  const ends = await administration.ask((admin) => admin.fetchTopicOffsets(topic))
  const [fetched] = await administration.ask((admin) => admin.fetchOffsets({ groupId: topic, topics: [topic] }))
  return ends.map(({ partition, high, low }) => {
    const said = fetched?.partitions.find((one) => one.partition === partition)
    const isNew = said === undefined || Number(said.offset) < 0
    const committed = isNew ? Number(low) : Number(said.offset)
    const notes = decodeNotes(committed, said?.metadata)
    const done = notes.done.reduce((sum, [from, to]) => sum + to - from, 0)
    return { partition, committed, notes, end: Number(high), taken: committed + done + notes.running.length }
  })
}

type Waiting = { readonly id: string; readonly scheduledAt: string }

/** Beyond so many records of a partition it is counted what there is, and no more looked at. */
const MAX_LOOKED_AT = 20_000

/** What waits in one partition. It is read once, and then only what has come since. */
export class Backlog {
  readonly #waiting = new Map<number, Waiting>()
  readonly #offsets = new Map<string, number>()
  #position = 0
  #state: PartitionState | undefined

  async update(reader: Reader, topic: string, state: PartitionState): Promise<void> {
    this.#state = state
    this.#position = Math.max(this.#position, state.committed)
    for (const offset of this.#waiting.keys())
      if (offset < state.committed || isDone(state.notes, offset)) this.#forget(offset)
    const to = Math.min(state.end, state.committed + MAX_LOOKED_AT)
    await reader.read(topic, state.partition, this.#position, to, (record) => this.#take(record, state.notes))
    this.#position = Math.max(this.#position, to)
  }

  /** What waits; `more` is how much was not looked at. */
  get waiting(): { readonly depth: number; readonly oldestAt: string | undefined; readonly running: number } {
    const { notes, end } = this.#state!
    const running = new Set(notes.running)
    let [depth, oldestAt] = [Math.max(end - this.#position, 0), undefined as string | undefined]
    for (const [offset, { scheduledAt }] of this.#waiting) {
      if (running.has(offset)) continue
      depth++
      if (oldestAt === undefined || scheduledAt < oldestAt) oldestAt = scheduledAt
    }
    return { depth, oldestAt, running: running.size }
  }

  #take(record: StoredRecord, notes: Notes): void {
    const offset = Number(record.offset)
    const { kind, id, scheduledAt } = headOf(record)
    if (kind === 'withdrawn') {
      const withdrawn = this.#offsets.get(id ?? '')
      if (withdrawn !== undefined && !notes.running.includes(withdrawn)) this.#forget(withdrawn)
      return
    }
    if (isDone(notes, offset) || kind !== 'work' || id === undefined || this.#offsets.has(id)) return
    this.#waiting.set(offset, { id, scheduledAt: scheduledAt ?? new Date(Number(record.timestamp)).toISOString() })
    this.#offsets.set(id, offset)
  }

  #forget(offset: number): void {
    const known = this.#waiting.get(offset)
    if (known === undefined) return
    this.#waiting.delete(offset)
    this.#offsets.delete(known.id)
  }
}

const isDone = ({ done }: Notes, offset: number): boolean => done.some(([from, to]) => from <= offset && offset < to)

/** Takes from `ids` what waits or runs in the topic; looks at all that is not done, however much that is. */
export async function removePresent(
  ids: Set<string>,
  reader: Reader,
  topic: string,
  states: readonly PartitionState[],
): Promise<void> {
  for (const { partition, committed, end, notes } of states) {
    const present = new Map<string, number>()
    await reader.read(topic, partition, committed, end, (record) => {
      const { kind, id = '' } = headOf(record)
      const offset = Number(record.offset)
      const at = present.get(id)
      if (kind === 'work' && ids.has(id) && !isDone(notes, offset)) present.set(id, offset)
      else if (kind === 'withdrawn' && at !== undefined && !notes.running.includes(at)) present.delete(id)
    })
    for (const id of present.keys()) ids.delete(id)
  }
}
