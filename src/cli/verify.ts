// `millrace verify`: asks a running Millrace to hold itself against its log, shows how far it is, and says what was found.
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import { stripVTControlCharacters } from 'node:util'

/** `--url` is no address of a server. */
export class BadAddress extends Error {}
/** There is no such server, or what answers is none of ours. */
export class ServerUnreachable extends Error {}
/** The server is there and cannot do it now, or not to the end. */
export class ServerBusy extends Error {}

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
  const result = await ask(options)
  if (options.json) console.log(JSON.stringify(result, undefined, 2))
  else for (const line of describe(result)) console.log(plain(line))
  if (!result.clean) return 1
  if (result.notChecked.length > 0)
    throw new ServerBusy(`not everything could be checked: ${result.notChecked.join('; ')}`)
  return 0
}

async function ask({ url, repair = false, readModels }: Options): Promise<Result> {
  const response = await post(addressOf(url), { repair, readModels }, url)
  if (!response.ok || response.body === null) throw await refusalOf(response, url)
  const meter = createMeter()
  try {
    for await (const text of createInterface({ input: Readable.fromWeb(response.body as never) })) {
      const line = JSON.parse(text) as Line
      if (line.kind === 'failed') throw new ServerBusy(`the verification came to nothing: ${line.detail}`)
      if (line.kind === 'result') return line
      meter.show(line)
    }
  } catch (error) {
    if (error instanceof ServerBusy) throw error
    throw new ServerUnreachable(`${url} went away before it was done; start it again and ask again`, { cause: error })
  } finally {
    meter.clear()
  }
  throw new ServerUnreachable(`${url} went away before it was done; start it again and ask again`)
}

function addressOf(url: string): URL {
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  if (parsed === undefined || !/^https?:$/.test(parsed.protocol))
    throw new BadAddress(`--url ${url}: expected an address such as http://127.0.0.1:8080`)
  return new URL('/v1/admin/verify', parsed)
}

async function post(address: URL, body: object, url: string): Promise<Response> {
  try {
    const headers = { 'content-type': 'application/json' }
    return await fetch(address, { method: 'POST', headers, body: JSON.stringify(body) })
  } catch (error) {
    const { code, message = 'no answer' } = ((error as Error).cause ?? error) as { code?: string; message?: string }
    const why = code ?? message
    throw new ServerUnreachable(
      `cannot reach Millrace at ${url} (${why}); start it there, or say where it is with --url`,
    )
  }
}

/** A problem says what stands in the way; an answer of anything else says that this is no Millrace. */
async function refusalOf(response: Response, url: string): Promise<Error> {
  const problem = (await response.json().catch(() => undefined)) as { detail?: unknown } | undefined
  const detail = typeof problem?.detail === 'string' ? problem.detail : undefined
  const temporary = [409, 429, 503].includes(response.status)
  if (detail !== undefined && temporary) return new ServerBusy(`${url} answered ${response.status}: ${detail}`)
  return new ServerUnreachable(
    `${url} answered ${response.status}${detail === undefined ? '' : `: ${detail}`}; is it a Millrace of this version?`,
  )
}

/** One line that is written over, and only where somebody looks. */
function createMeter() {
  const { stderr } = process
  const isSeen = stderr.isTTY === true
  const write = (text: string): void => void (isSeen && stderr.write(`\r\u001b[K${text}`))
  return {
    show({ phase, events, of, eventsPerSecond, etaSeconds }: Progress): void {
      const figures = `${grouped(events)} of ${grouped(of)} events, ${grouped(eventsPerSecond)} a second`
      write(plain(phase === 'reading the log' ? `${phase}: ${figures}, ${etaSeconds} s left` : `${phase} …`))
    },
    clear: () => write(''),
  }
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

const grouped = (count: number): string => count.toLocaleString('en-US')

/** What the server tells must not steer the terminal that shows it. */
const plain = (text: string): string => stripVTControlCharacters(text).replaceAll(/\p{Cc}/gu, ' ')
