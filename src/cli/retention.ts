// `millrace retention`: what a running Millrace keeps for how long, and what goes.
import { readFile } from 'node:fs/promises'
import { ask, createMeter, grouped, plain, Refused } from './server.ts'

type At = { readonly url: string; readonly namespace: string }

type View = {
  readonly policy: object
  readonly targets: readonly { target: string; rows: number; oldest?: string }[]
  readonly recommendations: readonly { target: string; says: string; because: string }[]
}
type Storage = {
  readonly tables: readonly { table: string; rows: number; bytes: number }[]
  readonly archive: { files: number; bytes: number }
}
type Preview = {
  readonly items: readonly {
    target: string
    count: number
    oldest?: string
    because: readonly string[]
    examples?: readonly string[]
  }[]
}
type CleanedUp = { readonly removed: { readonly [target: string]: number }; readonly done: boolean }

const AT_ONCE = 1_000
const pathOf = ({ namespace }: At, action = ''): string => `/v1/${encodeURIComponent(namespace)}/retention${action}`
const say = (line: string): void => console.log(plain(line))
const megabytes = (bytes: number): string => `${(bytes / 1_048_576).toFixed(1)} MiB`

/** The policy, what there is, and what could be done about it. */
export async function showRetention(at: At & { readonly json?: boolean }): Promise<void> {
  const view = (await (await ask('GET', at.url, pathOf(at))).json()) as View
  const storage = (await (await ask('GET', at.url, '/v1/admin/storage')).json()) as Storage
  if (at.json) {
    console.log(JSON.stringify({ ...view, storage }, undefined, 2))
    return
  }
  const { policy, targets, recommendations } = view
  say(
    `policy of ${at.namespace}: ${Object.keys(policy).length === 0 ? 'none, everything is kept' : JSON.stringify(policy)}`,
  )
  for (const { target, rows, oldest } of targets)
    say(`  ${target}: ${grouped(rows)}${oldest === undefined ? '' : `, the oldest of ${oldest}`}`)
  for (const { says, because } of recommendations) say(`recommended: ${says}: ${because}`)
  say('of all namespaces:')
  for (const { table, rows, bytes } of storage.tables)
    say(`  ${table}: about ${grouped(rows)} rows, ${megabytes(bytes)}`)
  say(`  archive: ${grouped(storage.archive.files)} files, ${megabytes(storage.archive.bytes)}`)
}

/** Sets the policy of a file, JSON or YAML. */
export async function setRetention(file: string, at: At): Promise<void> {
  await ask('PUT', at.url, pathOf(at), await textOf(file))
  say(`the policy of ${at.namespace} is set; see what the next clean-up takes with: millrace retention preview`)
}

/** Prints what a clean-up would take, by the policy that holds or that of a file. */
export async function previewRetention(file: string | undefined, at: At & { readonly json?: boolean }): Promise<void> {
  // Indented, a document of JSON or YAML is a member of one of YAML.
  const body = file === undefined ? '{}' : `policy:\n${(await textOf(file)).replaceAll(/^/gm, '  ')}`
  const { items } = (await (await ask('POST', at.url, pathOf(at, '/preview'), body)).json()) as Preview
  if (at.json) {
    console.log(JSON.stringify(items, undefined, 2))
    return
  }
  if (items.length === 0) say(`nothing: ${at.namespace} has no policy, everything is kept`)
  for (const { target, count, oldest, because, examples = [] } of items) {
    say(`${target}: ${grouped(count)}${oldest === undefined ? '' : `, the oldest of ${oldest}`}`)
    for (const why of because) say(`  ${why}`)
    if (examples.length > 0) say(`  such as ${examples.join(', ')}`)
  }
}

/** Cleans up until nothing is left to go; what breaks off goes on where it was when asked for again. */
export async function cleanUp(at: At): Promise<void> {
  const meter = createMeter()
  const begun = performance.now()
  const removed = new Map<string, number>()
  const sums = (): string => [...removed].map(([target, count]) => `${grouped(count)} of ${target}`).join(', ')
  try {
    for (;;) {
      const answer = await ask('POST', at.url, pathOf(at, '/clean-up'), { limit: AT_ONCE })
      const { removed: some, done } = (await answer.json()) as CleanedUp
      for (const [target, count] of Object.entries(some)) removed.set(target, (removed.get(target) ?? 0) + count)
      const seconds = (performance.now() - begun) / 1_000
      const total = [...removed.values()].reduce((sum, count) => sum + count, 0)
      meter.show(`${sums()} (${grouped(Math.round(total / seconds))} a second)`)
      if (done) break
    }
  } finally {
    meter.clear()
  }
  say(removed.size === 0 ? 'nothing was due' : `gone: ${sums()}`)
}

/** Puts the stream of a run back into the log. */
export async function unarchive(id: string, at: At): Promise<void> {
  await ask(
    'POST',
    at.url,
    `/v1/${encodeURIComponent(at.namespace)}/executions/${encodeURIComponent(id)}/unarchive`,
    {},
  )
  say(`the stream of ${id} is in the log again, for as long as though the run had ended now`)
}

async function textOf(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    throw new Refused(`${file} cannot be read: ${(error as Error).message}`)
  }
}
