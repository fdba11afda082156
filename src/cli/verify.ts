// `millrace verify`: asks a running Millrace to hold itself against its log, shows how far it is, and says what was found.
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import { ask, createMeter, grouped, plain, Refused, ServerBusy, ServerUnreachable } from './server.ts'

type Options = {
  readonly url: string
  readonly repair?: boolean
  readonly readModels: boolean
  readonly json?: boolean
}

type Listed<T> = { readonly total: number; readonly items: readonly T[] }
type Progress = {
  readonly kind: 'progress'
  readonly phase: string
  readonly events: number
  readonly of: number
  readonly eventsPerSecond: number
  readonly etaSeconds: number
}
type Result = {
  readonly kind: 'result'
  readonly clean: boolean
  readonly position: string
  readonly events: number
  readonly streams: { readonly open: number; readonly ended: number }
  readonly seconds: number
  readonly eventsPerSecond: number
  readonly invariants: readonly { number: number; says: string; events: number; violations: number }[]
  readonly violations: Listed<{ invariant: number; stream: string; revision: string; what: string }>
  readonly drift: Listed<{ where: string; key: string; what: string }>
  readonly repaired: readonly string[]
  readonly before?: { readonly violations: number; readonly drift: number }
  readonly notChecked: readonly string[]
}
type Line = Progress | Result | { readonly kind: 'failed'; readonly detail: string }

/** How many findings of each kind are shown; `--json` has those that the server lists. */
const SHOWN = 20

/** The exit code: 0 where nothing was found, 1 where something was; what could not be checked counts as not done. */
export async function verify(options: Options): Promise<number> {
  const result = await verdictOf(options)
  if (options.json) console.log(JSON.stringify(result, undefined, 2))
  else for (const line of describe(result)) console.log(plain(line))
  if (!result.clean) return 1
  if (result.notChecked.length > 0)
    throw new ServerBusy(`not everything could be checked: ${result.notChecked.join('; ')}`)
  return 0
}

async function verdictOf({ url, repair = false, readModels }: Options): Promise<Result> {
  const response = await ask('POST', url, '/v1/admin/verify', { repair, readModels }).catch((error) => {
    // Another verification is running.
    throw error instanceof Refused ? new ServerBusy(`${url} answered 409: ${error.message}`) : error
  })
  const meter = createMeter()
  try {
    for await (const text of createInterface({ input: Readable.fromWeb(response.body as never) })) {
      const line = JSON.parse(text) as Line
      if (line.kind === 'failed') throw new ServerBusy(`the verification came to nothing: ${line.detail}`)
      if (line.kind === 'result') return line
      meter.show(describeProgress(line))
    }
  } catch (error) {
    if (error instanceof ServerBusy) throw error
    throw new ServerUnreachable(`${url} went away before it was done; start it again and ask again`, { cause: error })
  } finally {
    meter.clear()
  }
  throw new ServerUnreachable(`${url} went away before it was done; start it again and ask again`)
}

function describeProgress({ phase, events, of, eventsPerSecond, etaSeconds }: Progress): string {
  const figures = `${grouped(events)} of ${grouped(of)} events, ${grouped(eventsPerSecond)} a second`
  return phase === 'reading the log' ? `${phase}: ${figures}, ${etaSeconds} s left` : `${phase} …`
}

function describe(result: Result): readonly string[] {
  const { events, streams, seconds, eventsPerSecond, invariants, violations, drift, repaired, before, notChecked } =
    result
  const broken = invariants.filter((one) => one.violations > 0)
  return [
    `${grouped(events)} events up to position ${result.position}, ${grouped(streams.ended)} ended runs and ${grouped(streams.open)} open streams, in ${seconds} s (${grouped(eventsPerSecond)} events a second)`,
    ...(before ? [`before the repair: ${before.violations} violations, drift in ${before.drift} places`] : []),
    ...repaired.map((what) => `repaired: ${what}`),
    ...broken.map(
      (one) => `invariant ${one.number} (${one.says}) is broken by ${one.violations} of ${one.events} events`,
    ),
    ...shown(
      violations,
      ({ stream, revision, invariant, what }) => `${stream} revision ${revision}: invariant ${invariant}: ${what}`,
    ),
    ...shown(drift, ({ where, key, what }) => `drift: ${where} ${key} ${what}`),
    ...notChecked.map((what) => `not checked: ${what}`),
    result.clean ? `clean: ${invariants.length} invariants hold, nothing has drifted` : advice(result),
  ]
}

function shown<T>({ total, items }: Listed<T>, say: (item: T) => string): readonly string[] {
  const some = items.slice(0, SHOWN).map(say)
  return total > some.length ? [...some, `… and ${total - some.length} more`] : some
}

function advice({ violations, drift, before }: Result): string {
  const found = `${violations.total} violations in the log, drift in ${drift.total} places`
  if (drift.total === 0) return `${found}; the log is never changed: what it says is for people to judge`
  return before
    ? `${found}; the repair did not help, so look at the log of the server`
    : `${found}; mend the drift with --repair`
}
