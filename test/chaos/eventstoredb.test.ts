// The real program with its log in an EventStoreDB, here the test server as a process of its own.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it, onTestFinished } from 'vitest'
import { makeHome } from '../support/program.ts'
import { endPrograms, type Program, runNode } from '../support/programs.ts'

const SERVER = join(import.meta.dirname, '../support/eventstoredb/main.ts')
const MAIN = join(import.meta.dirname, '../../src/main.ts')
const document = {
  name: 'hello',
  stages: {
    build: { uses: 'shell', with: { run: 'sleep 0.1' } },
    publish: { uses: 'shell', needs: ['build'], with: { run: 'true' } },
  },
}

afterEach(endPrograms)

type Server = { readonly program: Program; readonly port: string; readonly folder: string }

async function startServer(folder?: string, port = '0'): Promise<Server> {
  if (folder === undefined) {
    folder = await mkdtemp(join(tmpdir(), 'millrace-esdb-'))
    const made = folder
    onTestFinished(() => rm(made, { recursive: true }))
  }
  const program = runNode(SERVER, ['--port', port, '--data', folder])
  await program.until((lines) => lines.length > 0)
  return { program, folder, port: /:(\d+)\?/.exec(program.lines[0]!)![1]! }
}

async function call<T>(url: string, method: string, body?: object): Promise<T> {
  const sent = body && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }
  const response = await fetch(url, { method, ...sent })
  const text = await response.text()
  if (!response.ok) throw new Error(`${method} ${url} answered ${response.status}: ${text}`)
  return JSON.parse(text) as T
}

/** A client that does not give up: the key makes one run of all its tries. */
async function startRun(url: string, key: string): Promise<string> {
  for (;;) {
    const response = await fetch(`${url}/v1/default/executions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': key },
      body: JSON.stringify({ workflow: 'hello' }),
    })
    const text = await response.text()
    if (response.status < 500) return (JSON.parse(text) as { id: string }).id
  }
}

async function statusOf(url: string, id: string): Promise<string> {
  const run = await call<{ status: string }>(`${url}/v1/default/executions/${id}`, 'GET').catch(() => undefined)
  return run?.status ?? 'unknown'
}

const allCompleted = (url: string, ids: readonly string[]) =>
  expect
    .poll(async () => Promise.all(ids.map((id) => statusOf(url, id))), { timeout: 40_000, interval: 200 })
    .toEqual(ids.map(() => 'completed'))

describe('the program on an EventStoreDB', () => {
  it('completes runs while the server is killed and comes back, and finds everything again after a new start', async (t) => {
    const server = await startServer()
    const home = await makeHome(t)
    const flags = ['--event-store', `esdb://ada:hunter2@127.0.0.1:${server.port}?tls=false`] as const
    const first = home.start(...flags)
    const url = await first.ready
    await call(`${url}/v1/default/workflows/hello`, 'PUT', document)
    const ids: string[] = []
    for (let n = 0; n < 5; n++) ids.push(await startRun(url, `before-${n}`))
    await server.program.stop('SIGKILL')
    const starting = Array.from({ length: 5 }, (_, n) => startRun(url, `meanwhile-${n}`))
    await startServer(server.folder, server.port)
    ids.push(...(await Promise.all(starting)))
    await allCompleted(url, ids)
    const verified = await runNode(MAIN, ['verify', '--url', url]).ended
    expect(verified).toEqual({ code: 0, signal: null })
    expect(await first.kill('SIGTERM')).toEqual({ code: 0, signal: null })

    const second = home.start(...flags)
    await allCompleted(await second.ready, ids)
    const { items } = await call<{ items: unknown[] }>(`${await second.ready}/v1/default/executions?limit=50`, 'GET')
    expect(items).toHaveLength(10)
    for (const { stderr } of [first, second]) expect(stderr()).not.toContain('hunter2')
  }, 120_000)

  it('starts before the server does, and says that it waits', async (t) => {
    const gone = await startServer()
    await gone.program.stop('SIGKILL')
    const home = await makeHome(t)
    const program = home.start('--event-store', `esdb://ada:hunter2@127.0.0.1:${gone.port}?tls=false`)
    await expect.poll(() => program.stderr(), { timeout: 20_000 }).toContain('waiting for EventStoreDB')
    await startServer(gone.folder, gone.port)
    const { status } = await fetch(`${await program.ready}/health/ready`)
    expect(status).toBe(200)
    expect(program.stderr()).not.toContain('hunter2')
  }, 60_000)
})
