// The whole program with its leases in Redis: one that asks for user and password, is killed and loses everything while a stage runs.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createRedisLeases } from '../../src/adapters/leases/redis.ts'
import { makeCertificate } from '../support/certificate.ts'
import { silent } from '../support/postgres.ts'
import { makeHome } from '../support/program.ts'
import { until } from '../support/recorded-log.ts'
import { startRedisServer } from '../support/redis-server.ts'
import type { OwnServer } from '../support/server-process.ts'
import { findOwnServer } from '../support/servers.ts'
import { obstacle, skipFor } from '../support/skip.ts'

const LEASE_MS = 1_500
/** What docs/distributed.md says that its user needs. */
const NEEDED = ['~{millrace}:*', '+@read', '+@write', '+@scripting', '+@connection', '+info', '+time']
const found = await findOwnServer('redis')

describe('millrace with Redis', () => {
  let redis: OwnServer
  beforeAll(async () => {
    if (found.reason !== undefined) return
    const flags = ['--requirepass', 'another', '--user', 'ada', 'on', '>hunter2', ...NEEDED]
    redis = await startRedisServer({ flags: () => flags, url: (port) => `redis://ada:hunter2@127.0.0.1:${port}/3` })
  })
  afterAll(() => redis?.stop())
  beforeEach((context) => skipFor(found.reason, context))

  it('ends no attempt while Redis is away, and says so without its password', async (scope) => {
    const home = await makeHome(scope)
    const settings = ['--leases', redis.url, '--lease-ms', String(LEASE_MS), '--heartbeat-ms', '100']
    const program = home.start(...settings)
    const url = await program.ready
    const api = `${url}/v1/default`
    const run = 'touch "$EFFECTS/begun-$MILLRACE_ATTEMPT"; until [ -e "$EFFECTS/go" ]; do sleep 0.02; done'
    const build = { uses: 'shell', with: { env: { EFFECTS: home.effects }, run } }
    await send('PUT', `${api}/workflows/build`, { name: 'build', stages: { build } })
    const { id } = (await send('POST', `${api}/executions`, { workflow: 'build' })) as { id: string }
    await until('the stage', async () => existsSync(join(home.effects, 'begun-1')))
    const leases = async () =>
      ((await (await fetch(`${url}/health/ready`)).json()) as { checks: { leases: boolean } }).checks.leases
    expect(await leases()).toBe(true)

    const killedMs = performance.now()
    await redis.kill()
    await until('the loss to be noticed', async () => !(await leases()))
    await until('every lease to have run out', async () => performance.now() - killedMs > LEASE_MS)
    await redis.restart({ emptied: true })
    await until('Redis', leases)
    const backMs = performance.now()
    await until('a look at the leases after their grace', async () => performance.now() - backMs > 2 * LEASE_MS)
    writeFileSync(join(home.effects, 'go'), '')
    const ended = await until('the end', async () => {
      const run = (await (await fetch(`${api}/executions/${id}`)).json()) as { status: string; stages: object }
      return run.status === 'completed' ? run : undefined
    })
    expect(ended.stages).toMatchObject({ build: { status: 'completed', attempt: 1 } })
    expect(await program.kill('SIGTERM')).toEqual({ code: 0, signal: null })
    expect(program.stderr()).toMatch(/Redis is away, leases wait for it/)
    expect(program.stderr()).toMatch(/Redis has lost its leases/)
    expect(program.stderr()).not.toMatch(/hunter2/)
  })

  it('speaks TLS, and to nobody whose certificate it cannot check', async (context) => {
    skipFor(obstacle('openssl', ['version']), context)
    const folder = await mkdtemp(join(tmpdir(), 'millrace-certificate-'))
    const trusted = getCACertificates('default')
    let server: OwnServer | undefined
    try {
      const { cert, key } = await makeCertificate(folder)
      setDefaultCACertificates([...trusted, readFileSync(cert, 'utf8')])
      const files = ['--tls-cert-file', cert, '--tls-key-file', key, '--tls-ca-cert-file', cert]
      server = await startRedisServer({
        flags: (port) => ['--port', '0', '--tls-port', String(port), '--tls-auth-clients', 'no', ...files],
        url: (port) => `rediss://127.0.0.1:${port}`,
      })
      const open = () => createRedisLeases({ url: server!.url, graceMs: 1_000, withinMs: 0, logger: silent })
      const leases = await open()
      expect(await leases.claim('k', 'w', 1_000)).toBe(true)
      await leases.close()
      setDefaultCACertificates(trusted)
      await expect(open()).rejects.toThrow(/cannot be used: self-signed certificate/)
    } finally {
      setDefaultCACertificates(trusted)
      await server?.stop()
      await rm(folder, { recursive: true })
    }
  })

  it.each([
    ['another password', 'hunter3', 3, /cannot be used: WRONGPASS/],
    ['no password', '', 3, /cannot be used: NOAUTH/],
    ['a database that it has not', 'hunter2', 99, /cannot be used: ERR DB index is out of range/],
  ])('does not wait where it has %s', async (_, password, database, line) => {
    const url = new URL(redis.url)
    url.password = password
    if (password === '') url.username = ''
    url.pathname = `/${database}`
    const opened = createRedisLeases({ url: url.href, graceMs: 1_000, withinMs: 600_000, logger: silent })
    await expect(opened).rejects.toThrow(line)
  })
})

async function send(method: string, url: string, body: object): Promise<unknown> {
  const headers = { 'content-type': 'application/json' }
  const response = await fetch(url, { method, headers, body: JSON.stringify(body) })
  expect(response.ok, await response.clone().text()).toBe(true)
  return response.json()
}
