import { setTimeout as delay } from 'node:timers/promises'
import { StoreUnavailable } from '../ports/event-store.ts'
import type { Logger } from '../ports/logger.ts'
import { type Drift, Findings, type Listed } from '../projections/findings.ts'
import type { CheckLog, Told } from './check-log.ts'
import { checkOpenWork } from './check-open-work.ts'
import type { Engine, Live, Suspect } from './open-checks.ts'
import type { LogFindings, Progress } from './report.ts'

/** What to do besides looking, and what not to look at. */
export type Asked = { readonly repair: boolean; readonly readModels: boolean }

export type Verdict = Omit<LogFindings, 'drifting' | 'open'> & {
  /** Nothing was found. */
  readonly clean: boolean
  readonly seconds: number
  readonly eventsPerSecond: number
  /** What was done, where that was asked for; everything else then says how it is after that. */
  readonly repaired: readonly string[]
  /** How much there was before that. */
  readonly before?: { readonly violations: number; readonly drift: number }
}

export type Line =
  | ({ readonly kind: 'progress' } & Progress)
  | ({ readonly kind: 'result' } & Verdict)
  /** It could not be done; the program's log says why. */
  | { readonly kind: 'failed'; readonly detail: string }

/** Where the read models are kept, by whoever does not ask questions of them but makes them anew. */
type ReadModelKeeper = {
  /** Has the read models of the projections named built again, beside those that serve; ends when that is done, or cannot be. */
  rebuild(names: readonly string[], signal: AbortSignal): Promise<void>
}

type Parts = Omit<Live, 'engine'> & {
  readonly checkLog: CheckLog
  /** Undefined where this process has no reactors. */
  readonly engine: () => Engine | undefined
  readonly readModels: ReadModelKeeper
  readonly logger: Logger
}

type Found = {
  readonly log: LogFindings
  readonly suspects: readonly Suspect[]
  readonly notChecked: readonly string[]
}

const TELL_EVERY_MS = 500

/** A verification is under way; two would only slow each other down. */
export class VerificationRunning extends Error {
  constructor() {
    super('a verification is running already; ask again when it is done')
    this.name = 'VerificationRunning'
  }
}

/** Holds a live installation against its log: the log itself, the read models, and what is under way. One at a time. */
export function createVerification(parts: Parts) {
  let running: AbortController | undefined

  return {
    /** Lines of progress and, at last, what was found. Ending the iteration ends the verification. @throws VerificationRunning */
    async *lines(asked: Asked): AsyncGenerator<Line> {
      if (running) throw new VerificationRunning()
      const stop = new AbortController()
      running = stop
      const meter = new Meter()
      const done = findAndMend(parts, asked, meter, stop.signal)
      const ended = done.then(
        () => true,
        () => true,
      )
      try {
        while (!(await Promise.race([ended, delay(TELL_EVERY_MS, false, { ref: false })])))
          yield { kind: 'progress', ...meter.progress() }
        yield await done.then(
          (verdict) => ({ kind: 'result', ...verdict }) as const,
          failure(parts.logger, stop.signal),
        )
      } finally {
        stop.abort()
        await ended
        running = undefined
      }
    },

    /** Ends what is under way, whose last line says so. */
    stop(): void {
      running?.abort()
    },
  }
}

const failure =
  (logger: Logger, signal: AbortSignal) =>
  (error: unknown): Line => {
    if (signal.aborted) return { kind: 'failed', detail: 'the server is shutting down' }
    logger.error({ err: error }, 'a verification failed')
    const what =
      error instanceof StoreUnavailable ? 'the event log is out of reach' : 'something went wrong on our side'
    return { kind: 'failed', detail: `${what}; the log of the server has the details` }
  }

async function findAndMend(parts: Parts, asked: Asked, meter: Meter, signal: AbortSignal): Promise<Verdict> {
  const first = await find(parts, asked, meter, signal)
  if (!asked.repair || (first.suspects.length === 0 && first.log.drifting.length === 0)) return verdictOn(first, meter)
  const repaired = await mend(parts, first, meter, signal)
  const before = { violations: first.log.violations.total, drift: driftOf(first).total }
  parts.logger.warn({ repaired: repaired.length, ...before }, 'repaired what had drifted from the log')
  return { ...verdictOn(await find(parts, asked, meter, signal), meter), repaired, before }
}

async function find(parts: Parts, { readModels }: Asked, meter: Meter, signal: AbortSignal): Promise<Found> {
  const log = await parts.checkLog({ readModels, signal, tell: (told) => meter.take(told) })
  const { events } = log
  meter.take({ phase: 'looking at open work', events, of: events })
  const engine = parts.engine()
  if (engine === undefined) return { log, suspects: [], notChecked: ['open work: this process runs no engine'] }
  try {
    return { log, suspects: await checkOpenWork(log.open, { ...parts, engine }, signal), notChecked: [] }
  } catch (error) {
    signal.throwIfAborted()
    return { log, suspects: [], notChecked: [`open work: ${(error as Error).message}`] }
  }
}

/** The log is never touched. */
async function mend(parts: Parts, { log, suspects }: Found, meter: Meter, signal: AbortSignal): Promise<string[]> {
  const { events, drifting } = log
  meter.take({ phase: 'repairing', events, of: events })
  const repaired: string[] = []
  for (const { drift, repair } of suspects)
    try {
      repaired.push(await repair())
    } catch (error) {
      // What is left of it shows when it is looked at again; the others are not to wait for that.
      parts.logger.error({ err: error, ...drift }, 'could not repair what has drifted')
    }
  if (drifting.length === 0) return repaired
  await parts.readModels.rebuild(drifting, signal)
  repaired.push(`built the read models of ${drifting.join(', ')} again`)
  return repaired
}

const driftOf = ({ log, suspects }: Found): Listed<Drift> => {
  const all = new Findings<Drift>()
  all.addListed(log.drift)
  for (const { drift } of suspects) all.add(drift)
  return all.listed()
}

function verdictOn(found: Found, meter: Meter): Verdict {
  const { drifting: _, open: __, ...log } = found.log
  const drift = driftOf(found)
  const { seconds, eventsPerSecond } = meter.total()
  return {
    clean: log.violations.total === 0 && drift.total === 0,
    ...log,
    drift,
    notChecked: [...log.notChecked, ...found.notChecked],
    seconds,
    eventsPerSecond,
    repaired: [],
  }
}

/** How far it is and how fast it goes; each phase has a speed of its own. */
class Meter {
  readonly #beganMs = performance.now()
  #phaseMs = this.#beganMs
  #readMs = 0
  #told: Told = { phase: 'reading the log', events: 0, of: 0 }
  #read = 0

  take(told: Told): void {
    if (told.phase !== this.#told.phase) this.#phaseMs = performance.now()
    this.#told = told
    if (told.phase !== 'reading the log') return
    this.#read = told.events
    this.#readMs = performance.now() - this.#phaseMs
  }

  progress(): Progress {
    const { phase, events, of } = this.#told
    const eventsPerSecond = this.#rate()
    const left = phase === 'reading the log' ? Math.max(of - events, 0) : 0
    return {
      phase,
      events,
      of,
      eventsPerSecond,
      etaSeconds: eventsPerSecond === 0 ? 0 : Math.ceil(left / eventsPerSecond),
    }
  }

  total(): { seconds: number; eventsPerSecond: number } {
    return { seconds: Math.round(performance.now() - this.#beganMs) / 1_000, eventsPerSecond: this.#rate() }
  }

  #rate(): number {
    return this.#readMs === 0 ? 0 : Math.round((this.#read / this.#readMs) * 1_000)
  }
}
