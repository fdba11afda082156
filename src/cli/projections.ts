// `millrace projections`: how the read models of a running Millrace are, and what can be done about them.
import { setTimeout as delay } from 'node:timers/promises'
import { ask, createMeter, grouped, plain, Refused, ServerUnreachable } from './server.ts'

type Difference =
  | {
      readonly position: string
      readonly total: number
      readonly items: readonly { where: string; key: string; what: string }[]
    }
  | { readonly notCompared: string }

type Rebuild = {
  readonly status: 'running' | 'swapped' | 'failed' | 'cancelled'
  readonly phase: string
  readonly version: number
  readonly progress: number
  readonly events: number
  readonly eventsPerSecond: number
  readonly etaSeconds?: number
  readonly startedAt?: string
  readonly finishedAt?: string
  readonly requestedAt: string
  readonly error?: string
  readonly difference?: Difference
}

type Projection = {
  readonly name: string
  readonly version: number
  readonly status: string
  readonly position: string
  readonly lagEvents: number
  readonly lagSeconds: number
  readonly error?: string
  readonly stoppedBefore?: { readonly position: string }
  readonly rebuild?: Rebuild
  readonly kept?: { readonly version: number; readonly position: string; readonly since: string }
}

type At = { readonly url: string }

const PATH = '/v1/admin/projections'
const LOOK_EVERY_MS = 500

const pathOf = (name: string, action = ''): string => `${PATH}/${encodeURIComponent(name)}${action}`
const say = (line: string): void => console.log(plain(line))

/** One line for each. */
export async function listProjections({ url, json }: At & { readonly json?: boolean }): Promise<void> {
  const { items } = (await (await ask('GET', url, PATH)).json()) as { items: readonly Projection[] }
  if (json) console.log(JSON.stringify(items, undefined, 2))
  else for (const line of items.flatMap(describe)) say(line)
}

/** Asks for a rebuild and shows how far it is; answers the exit code. With `wait` false it only asks. */
export async function rebuildProjection(
  name: string,
  {
    url,
    wait,
    hold = false,
    reason,
  }: At & { readonly wait: boolean; readonly hold?: boolean; readonly reason?: string },
): Promise<number> {
  await ask('POST', url, pathOf(name, '/rebuild'), { hold, ...(reason === undefined ? {} : { reason }) })
  if (!wait) {
    say(`the rebuild of ${name} is asked for; see how far it is with: millrace projections list`)
    return 0
  }
  return follow(name, url)
}

async function follow(name: string, url: string): Promise<number> {
  const meter = createMeter()
  try {
    for (;;) {
      const { rebuild } = await one(name, url)
      if (rebuild === undefined) throw new ServerUnreachable(`${url} knows of no rebuild of ${name} any more`)
      if (rebuild.status !== 'running' || rebuild.phase === 'held') {
        meter.clear()
        for (const line of describeEnd(name, rebuild)) say(line)
        return rebuild.status === 'swapped' || rebuild.phase === 'held' ? 0 : 1
      }
      meter.show(`${name}: ${describeRebuild(rebuild)}`)
      await delay(LOOK_EVERY_MS)
    }
  } finally {
    meter.clear()
  }
}

const one = async (name: string, url: string): Promise<Projection> =>
  (await (await ask('GET', url, pathOf(name))).json()) as Projection

/** How the rows that were built last differed from the live ones: 0 where they did not, 1 where they did. */
export async function showDifference(name: string, { url }: At): Promise<number> {
  const { rebuild } = await one(name, url)
  if (rebuild?.difference === undefined)
    throw new Refused(`nothing of ${name} has been compared: a rebuild does that before it is swapped in`)
  for (const line of describeDifference(name, rebuild.difference)) say(line)
  return 'total' in rebuild.difference && rebuild.difference.total === 0 ? 0 : 1
}

const done = {
  cancel: ['/rebuild/cancel', (name: string) => `the rebuild of ${name} was cancelled`],
  swap: ['/rebuild/swap', (name: string) => `what was built of ${name} is swapped in`],
  rollback: [
    '/rollback',
    (name: string) => `the rows of ${name} from before are live again, and follow the log from where they stood`,
  ],
  forget: ['/forget', (name: string) => `the rows of ${name} from before are gone`],
  retry: ['/retry', (name: string) => `${name} tries the event again`],
} as const

export type Action = keyof typeof done
export const actions = Object.keys(done) as readonly Action[]

export async function changeProjection(action: Action, name: string, { url }: At): Promise<void> {
  const [path, said] = done[action]
  await ask('POST', url, pathOf(name, path), {})
  say(said(name))
}

export async function skipEvent(
  name: string,
  { url, position, reason }: At & { readonly position: string; readonly reason: string },
): Promise<void> {
  await ask('POST', url, pathOf(name, '/skip'), { position, reason })
  say(`${name} leaves out the event at position ${position}; the log says so from now on`)
}

function describe(projection: Projection): readonly string[] {
  const { name, version, status, position, lagEvents, lagSeconds, error, stoppedBefore, rebuild, kept } = projection
  const lag =
    lagEvents === 0 ? 'has caught up' : `is ${grouped(lagEvents)} events and ${Math.round(lagSeconds)} s behind`
  return [
    `${name} (version ${version}) ${status === 'failed' ? 'has stopped' : lag}, at position ${position}`,
    ...(error === undefined ? [] : [`  before ${error}`]),
    ...(stoppedBefore === undefined
      ? []
      : [
          `  try again: millrace projections retry ${name}; leave it out: millrace projections skip ${name} --position ${stoppedBefore.position} --reason …`,
        ]),
    ...(rebuild === undefined ? [] : [`  rebuild ${rebuild.status}: ${describeRebuild(rebuild)}`]),
    ...(rebuild?.status === 'running' && rebuild.error !== undefined ? [`  kept from going on: ${rebuild.error}`] : []),
    ...(kept === undefined ? [] : [`  keeps the rows of version ${kept.version} from before ${kept.since}`]),
  ]
}

function describeRebuild({ status, phase, progress, eventsPerSecond, etaSeconds, events }: Rebuild): string {
  if (status !== 'running') return `${grouped(events)} events`
  const left = etaSeconds === undefined ? '' : `, ${Math.ceil(etaSeconds)} s left`
  return phase === 'replaying'
    ? `${(progress * 100).toFixed(1)} %, ${grouped(eventsPerSecond)} events a second${left}`
    : phase
}

function describeEnd(name: string, rebuild: Rebuild): readonly string[] {
  const { status, phase, events, startedAt, finishedAt, requestedAt, error, difference } = rebuild
  const seconds = (Date.parse(finishedAt ?? new Date().toISOString()) - Date.parse(startedAt ?? requestedAt)) / 1_000
  const differs = difference === undefined ? [] : describeDifference(name, difference)
  if (phase === 'held')
    return [...differs, `${name} is built and held; go on with: millrace projections swap ${name} (or cancel ${name})`]
  if (status === 'failed') return [`the rebuild of ${name} failed before ${error}`, 'the live rows are as they were']
  if (status === 'cancelled') return [`the rebuild of ${name} was cancelled`]
  return [
    ...differs,
    `${name} was built again from ${grouped(events)} events in ${seconds.toFixed(1)} s and swapped in`,
  ]
}

function describeDifference(name: string, difference: Difference): readonly string[] {
  if (!('total' in difference)) return [`${name} was not compared: ${difference.notCompared}`]
  const { total, items, position } = difference
  if (total === 0) return [`${name}: the rows built were those that were live, at position ${position}`]
  const more = total > items.length ? [`… and ${total - items.length} more`] : []
  return [
    `${name}: ${grouped(total)} live rows were not as built, at position ${position}`,
    ...items.map(({ where, key, what }) => `  ${where} ${key} ${what}`),
    ...more,
  ]
}
