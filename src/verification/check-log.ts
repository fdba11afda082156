// One reading of the log: held against the promises, against the read models, and folded into what is under way.
import { tallyOf } from '../checker/invariants.ts'
import { LogChecker } from '../checker/log-checker.ts'
import type { ExecutionEvent } from '../domain/execution/events.ts'
import type { RecordedEvent } from '../domain/message.ts'
import { upcast } from '../domain/upcast.ts'
import { type EventStore, START } from '../ports/event-store.ts'
import { Findings } from '../projections/findings.ts'
import { OpenWork } from './open-work.ts'
import { openReadModelCopy, type ReadModelCopy, type ReadModelFindings } from './read-model-copy.ts'
import type { LogFindings, Phase, Violation } from './report.ts'

type Reading = Pick<EventStore, 'readAll' | 'readStream' | 'head' | 'spacing'>

/** How far it is: `events` of about `of`. */
export type Told = { readonly phase: Phase; readonly events: number; readonly of: number }

export type CheckLog = (options: {
  readonly readModels: boolean
  readonly signal: AbortSignal
  tell(told: Told): void
}) => Promise<LogFindings>

/** @param databaseUrl where the read models are */
export const createCheckLog =
  (store: Reading, databaseUrl: string | undefined): CheckLog =>
  async ({ readModels, signal, tell }) => {
    const head = await store.head()
    const check = new LogCheck()
    const copy = readModels ? await guarded(() => openCopy(databaseUrl, { store, signal })) : undefined
    let events = 0
    try {
      let gathered: RecordedEvent[] = []
      for await (const batch of upTo(store, head)) {
        signal.throwIfAborted()
        check.take(batch)
        events += batch.length
        // Positions need not count events; how far along it is they tell all the same.
        const of = Math.round((events * (head + 1)) / (batch.at(-1)!.position + 1))
        tell({ phase: 'reading the log', events, of })
        gathered.push(...batch)
        if (gathered.length < TOGETHER) continue
        await copy?.take(gathered)
        gathered = []
      }
      await copy?.take(gathered)
      tell({ phase: 'comparing the read models', events, of: events })
      const compared = await copy?.finish()
      return { position: head, ...check.findings(), ...(compared ?? NOTHING) }
    } finally {
      await copy?.close()
    }
  }

/** How many events are written into the copy of the read models at once. */
const TOGETHER = 5_000
const NOTHING: ReadModelFindings = { drifting: [], drift: { total: 0, items: [] }, notChecked: [] }

async function openCopy(url: string | undefined, options: Parameters<typeof openReadModelCopy>[1]) {
  if (url === undefined) throw new Error('this process was not told where they are')
  return openReadModelCopy(url, options)
}

/** The log is read to its end whatever becomes of PostgreSQL meanwhile: then the read models have not been checked, and why. */
async function guarded(open: () => Promise<ReadModelCopy>): Promise<ReadModelCopy> {
  let failure: Error | undefined
  const unless = async (work: () => Promise<unknown>): Promise<void> => {
    if (failure) return
    await work().catch((error: Error) => {
      failure = error
    })
  }
  let copy: ReadModelCopy | undefined
  let findings = NOTHING
  await unless(async () => {
    copy = await open()
  })
  return {
    take: (events) => unless(async () => copy!.take(events)),
    async finish() {
      await unless(async () => {
        findings = await copy!.finish()
      })
      return failure ? { ...NOTHING, notChecked: [`the read models: ${failure.message}`] } : findings
    },
    close: async () => copy?.close().catch(() => {}),
  }
}

async function* upTo(store: Reading, head: number): AsyncGenerator<readonly RecordedEvent[]> {
  for await (const batch of store.readAll({ after: START })) {
    const within = batch.at(-1)!.position <= head ? batch : batch.filter(({ position }) => position <= head)
    if (within.length > 0) yield within
    if (within.length < batch.length) return
  }
}

class LogCheck {
  readonly #violations = new Findings<Violation>()
  readonly #broken = new Map<number, number>()
  readonly #open = new OpenWork()
  #events = 0
  readonly #checker = new LogChecker({}, ({ stream, revision }, invariant, what) => {
    this.#broken.set(invariant, (this.#broken.get(invariant) ?? 0) + 1)
    this.#violations.add({ invariant, stream, revision, what })
  })

  take(events: readonly RecordedEvent[]): void {
    for (const event of events) this.#takeOne(event)
  }

  /** What nothing can be made of must not end the check, which is there to find it. */
  #takeOne(stored: RecordedEvent): void {
    this.#events++
    try {
      const event = upcast(stored)
      this.#checker.take(event)
      if (event.stream.startsWith('execution-')) this.#open.apply(event as RecordedEvent<ExecutionEvent>)
    } catch (error) {
      const { stream, revision } = stored
      this.#broken.set(38, (this.#broken.get(38) ?? 0) + 1)
      this.#violations.add({ invariant: 38, stream, revision, what: (error as Error).message })
    }
  }

  findings() {
    this.#checker.end()
    const { types, streams } = this.#checker
    const events = this.#events
    const invariants = tallyOf({ events, types }, this.#broken)
    return { events, streams, invariants, violations: this.#violations.listed(), open: this.#open.state() }
  }
}
