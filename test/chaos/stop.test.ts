// How the program ends when it is asked to or cannot begin, and what it leaves to the next one.
import { access, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { EmbeddedEventStore } from '../../src/adapters/event-store/embedded.ts'
import { violations } from '../../src/checker/violations.ts'
import type { Json, RecordedEvent } from '../../src/domain/message.ts'
import { type Home, makeHome } from '../support/program.ts'
import { open, received, responsesOf } from '../support/raw-http.ts'
import { until } from '../support/recorded-log.ts'
import { faultsOfEffects, readEffects } from '../support/verdict.ts'

/** Tells of itself, then waits for the file `go`. */
const waitForGo = `echo "$MILLRACE_EXECUTION $MILLRACE_STAGE $MILLRACE_ATTEMPT $EPOCHREALTIME" >> "$EFFECTS/told"
until [ -e "$EFFECTS/go" ]; do sleep 0.02; done`

const shell = (run: string, more: { readonly [member: string]: Json } = {}): Json => ({
  uses: 'shell',
  with: { env: { EFFECTS: '${{ input.effects }}' }, run, grace: '1s' },
  ...more,
})
const document: Json = {
  name: 'release',
  stages: { build: shell(waitForGo), publish: shell(waitForGo, { needs: ['build'] }) },
}

async function call<T>(url: string, method: string, body: Json): Promise<T> {
  const headers = { 'content-type': 'application/json' }
  const response = await fetch(url, { method, headers, body: JSON.stringify(body) })
  const text = await response.text()
  if (!response.ok) throw new Error(`${method} ${url} answered ${response.status}: ${text}`)
  return JSON.parse(text) as T
}

/** Starts the run and resolves once the script of its first stage runs. */
async function startRun(home: Home, url: string): Promise<string> {
  await call(`${url}/v1/default/workflows/release`, 'PUT', document)
  const body = { workflow: 'release', input: { effects: home.effects } }
  const { id } = await call<{ id: string }>(`${url}/v1/default/executions`, 'POST', body)
  await until('the first stage', async () => (await told(home)).length > 0)
  return id
}

const told = async ({ effects }: Home): Promise<readonly string[]> =>
  (await readFile(join(effects, 'told'), 'utf8').catch(() => ''))
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split(' ').slice(1, 3).join(' '))

const scriptsOf = async (home: Home): Promise<readonly number[]> =>
  (await home.leftovers()).filter(({ command }) => command.startsWith('bash ')).map(({ pid }) => pid)

/** Resolves once the API answers no more: what runs is given time to finish from then on. */
const draining = (url: string): Promise<true> =>
  until('the API to close', () =>
    fetch(`${url}/health/live`).then(
      () => false as const,
      () => true as const,
    ),
  )

const ended = (url: string, id: string): Promise<true> =>
  until('the run to end', async () => {
    const response = await fetch(`${url}/v1/default/executions/${id}/state`)
    return ((await response.json()) as { status: string }).status === 'completed'
  })

async function eventsOf(home: Home): Promise<RecordedEvent[]> {
  const store = await EmbeddedEventStore.open(join(home.data, 'log'))
  const events: RecordedEvent[] = []
  for await (const batch of store.readAll()) events.push(...batch)
  await store.close()
  return events
}

/** What became of the worker of each program, in order. */
async function livesOf(home: Home): Promise<readonly string[]> {
  const lives = (await eventsOf(home)).filter(({ stream }) => stream.startsWith('worker-'))
  return [...Map.groupBy(lives, ({ stream }) => stream).values()].map((events) =>
    events.map(({ type }) => type.replace('Worker', '')).join(' '),
  )
}

async function expectNothingWrong(home: Home): Promise<void> {
  const events = await eventsOf(home)
  expect(violations(events, { healed: true })).toEqual([])
  expect(faultsOfEffects(await readEffects(home.effects), events)).toEqual([])
  expect(await home.leftovers()).toEqual([])
}

it('SIGTERM is held up by no connection, whatever is asked on it or not', async (t) => {
  const home = await makeHome(t)
  const program = home.start()
  const port = Number(new URL(await program.ready).port)
  const [silent, cut, slow, asking] = await Promise.all([open(port), open(port), open(port), open(port)])
  cut.write('GET /health/live HTTP/1.1\r\nHost: loc')
  slow.write('POST /v1/default/executions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n')
  slow.write('Content-Length: 100\r\n\r\n{')
  asking.write('GET /v1/default/executions?minPosition=9999&wait=1s HTTP/1.1\r\nHost: localhost\r\n\r\n')
  const answers = Promise.all([silent, cut, slow, asking].map(received))
  // All of it has arrived once something that was sent after it is answered.
  await fetch(`http://127.0.0.1:${port}/health/live`)

  const from = performance.now()
  expect(await program.kill('SIGTERM'), program.stderr()).toEqual({ code: 0, signal: null })
  expect(performance.now() - from).toBeLessThan(20_000)
  const [toSilent, toCut, , toAsking] = (await answers).map(responsesOf)
  expect([toSilent, toCut]).toEqual([[], []])
  expect(toAsking).toMatchObject([{ statusCode: 503, body: expect.stringContaining('POSITION_NOT_REACHED') }])
})

it('SIGTERM during a stage lets it finish, and its successor belongs to the next program', async (t) => {
  const home = await makeHome(t)
  const first = home.start()
  const url = await first.ready
  const id = await startRun(home, url)
  const stopped = first.kill('SIGTERM')
  await draining(url)
  await writeFile(join(home.effects, 'go'), '')
  expect(await stopped, first.stderr()).toEqual({ code: 0, signal: null })
  expect(await told(home)).toEqual(['build 1'])
  expect(await home.leftovers()).toEqual([])

  const second = home.start()
  await ended(await second.ready, id)
  expect(await second.kill('SIGTERM'), second.stderr()).toEqual({ code: 0, signal: null })
  expect(await told(home)).toEqual(['build 1', 'publish 1'])
  expect(await livesOf(home)).toEqual(['Registered Draining Stopped', 'Registered Draining Stopped'])
  await expectNothingWrong(home)
})

it('SIGTERM hands a stage that does not finish over to another attempt', async (t) => {
  const home = await makeHome(t)
  const first = home.start()
  const id = await startRun(home, await first.ready)
  expect(await first.kill('SIGTERM'), first.stderr()).toEqual({ code: 0, signal: null })
  expect(await told(home)).toEqual(['build 1'])
  expect(await home.leftovers()).toEqual([])

  await writeFile(join(home.effects, 'go'), '')
  const second = home.start()
  await ended(await second.ready, id)
  await second.kill('SIGTERM')
  expect(await told(home)).toEqual(['build 1', 'build 2', 'publish 1'])
  await expectNothingWrong(home)
})

it('a script that outlives its killed program is ended before its next attempt begins', async (t) => {
  const home = await makeHome(t)
  const first = home.start()
  const id = await startRun(home, await first.ready)
  await first.kill('SIGKILL')
  const orphans = await scriptsOf(home)
  expect(orphans).not.toEqual([])

  const second = home.start()
  const url = await second.ready
  await until('the second attempt', async () => (await told(home)).includes('build 2'))
  const left = (await scriptsOf(home)).filter((pid) => orphans.includes(pid))
  expect(left).toEqual([])
  const workers = async (status: string) =>
    ((await (await fetch(`${url}/v1/default/workers?status=${status}`)).json()) as { items: object[] }).items
  const [lost] = await until('the word about the killed worker', async () => {
    const found = await workers('lost')
    return found.length > 0 && found
  })
  expect(lost).toMatchObject({ pid: first.pid, reason: 'it holds its lease no more', running: 0 })
  expect(await workers('running')).toMatchObject([{ pid: second.pid, running: 1 }])
  await writeFile(join(home.effects, 'go'), '')
  await ended(url, id)
  await second.kill('SIGTERM')
  expect(await livesOf(home)).toEqual(['Registered Lost', 'Registered Draining Stopped'])
  expect(await told(home)).toEqual(['build 1', 'build 2', 'publish 1'])
  await expectNothingWrong(home)
})

it('a kill during the very first start leaves nothing that the next start trips over', async (t) => {
  for (const afterFile of ['postgres.new/PG_VERSION', 'postgres/postmaster.pid']) {
    const home = await makeHome(t)
    const first = home.start()
    await until(afterFile, () =>
      access(join(home.data, afterFile)).then(
        () => true as const,
        () => false as const,
      ),
    )
    await first.kill('SIGKILL')
    const second = home.start()
    await second.ready
    expect(await second.kill('SIGTERM'), second.stderr()).toEqual({ code: 0, signal: null })
    expect(await home.leftovers(), afterFile).toEqual([])
  }
})

it('a program that cannot open its database says so and ends', async (t) => {
  const home = await makeHome(t)
  await mkdir(join(home.data, 'postgres'))
  await writeFile(join(home.data, 'postgres', 'PG_VERSION'), '9\n')
  const program = home.start()
  expect(await program.ended).toEqual({ code: 1, signal: null })
  expect(program.stderr()).toContain('was made by PostgreSQL 9')
  expect(await home.leftovers()).toEqual([])
})
