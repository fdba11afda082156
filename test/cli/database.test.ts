// The whole program on PostgreSQLs of somebody's own: one that takes TLS alone, and a replica of it that lags.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { awaitPostgres } from '../../src/adapters/read-models/await-postgres.ts'
import { createPool } from '../../src/adapters/read-models/pool.ts'
import { type Certificate, makeCertificate } from '../support/certificate.ts'
import { query, silent } from '../support/postgres.ts'
import { findPostgresPrograms, startPostgresServer } from '../support/postgres-server.ts'
import { makeHome } from '../support/program.ts'
import { until } from '../support/recorded-log.ts'
import type { OwnServer } from '../support/server-process.ts'
import { findOwnServer } from '../support/servers.ts'
import { obstacle, skipFor } from '../support/skip.ts'
import { startTcpProxy } from '../support/tcp-proxy.ts'

const reason = (await findOwnServer('postgres')).reason ?? obstacle('openssl', ['version'])

describe('millrace on a PostgreSQL of its own', () => {
  let folder: string
  let certificate: Certificate
  let primary: OwnServer
  let replica: OwnServer
  beforeAll(async () => {
    if (reason !== undefined) return
    folder = await mkdtemp(join(tmpdir(), 'millrace-certificate-'))
    certificate = await makeCertificate(folder)
    const programs = findPostgresPrograms(process.env.PATH ?? '')!
    primary = await startPostgresServer(programs, { certificate })
    const { port } = new URL(primary.url)
    const replicaOf = `host=127.0.0.1 port=${port} user=millrace sslmode=require`
    replica = await startPostgresServer(programs, { certificate, replicaOf })
  })
  afterAll(async () => {
    await replica?.stop()
    await primary?.stop()
    if (folder) await rm(folder, { recursive: true })
  })
  beforeEach((context) => skipFor(reason, context))

  const withOptions = (server: OwnServer, options: Record<string, string>): string => {
    const url = new URL(server.url)
    url.search = new URLSearchParams(options).toString()
    return url.href
  }

  it('checks whom it speaks to as its URL says', async () => {
    const reach = (options: Record<string, string>) =>
      awaitPostgres(withOptions(primary, options), { withinMs: 0, logger: silent })
    await reach({ sslmode: 'no-verify' })
    await reach({ sslmode: 'verify-full', sslrootcert: certificate.cert })
    await expect(reach({ sslmode: 'verify-full' })).rejects.toThrow(/self-signed certificate/)
    await expect(reach({})).rejects.toThrow(/no pg_hba.conf entry .* no encryption/)
  })

  it('answers nothing older than was asked for where the replica lags', async (scope) => {
    const home = await makeHome(scope)
    const program = home.start('--database', primary.url, '--database-replica', replica.url)
    const url = await program.ready
    const workflow = `${url}/v1/default/workflows/lag`
    const register = async (description: string): Promise<string> => {
      const body = JSON.stringify({
        name: 'lag',
        description,
        stages: { a: { uses: 'wait', with: { duration: '1s' } } },
      })
      const response = await fetch(workflow, { method: 'PUT', headers: { 'content-type': 'application/json' }, body })
      return ((await response.json()) as { position: string }).position
    }
    const ask = async (position: string, wait: string) => {
      const response = await fetch(`${workflow}?minPosition=${position}&wait=${wait}`)
      return { status: response.status, answer: (await response.json()) as Record<string, unknown> }
    }
    expect(await ask(await register('first'), '10s')).toMatchObject({ status: 200, answer: { version: 1 } })

    await query(replica.url, 'SELECT pg_wal_replay_pause()')
    const position = await register('second')
    await until('the primary', async () => {
      const rows = await query(primary.url, `SELECT min(position) AS least FROM checkpoints`)
      return Number(rows[0]!.least) >= Number(position)
    })
    expect(await ask(position, '300ms')).toMatchObject({ status: 503, answer: { code: 'POSITION_NOT_REACHED' } })
    expect(await ask('0', '0s'), 'what it has it answers').toMatchObject({ status: 200, answer: { version: 1 } })
    const answer = ask(position, '10s')
    await query(replica.url, 'SELECT pg_wal_replay_resume()')
    expect(await answer).toMatchObject({ status: 200, answer: { version: 2 } })

    await replica.kill()
    const ready = async () => (await fetch(`${url}/health/ready`)).status
    await until('the loss to be noticed', async () => (await ready()) === 503)
    expect((await ask('0', '0s')).status).toBe(503)
    await replica.restart()
    await until('the replica', async () => (await ready()) === 200)
    expect(await ask(position, '10s')).toMatchObject({ status: 200, answer: { version: 2 } })
  })

  it('does not wait for ever for an answer that cannot come', async () => {
    const { port } = new URL(primary.url)
    const proxy = await startTcpProxy({ host: '127.0.0.1', port: Number(port) })
    const url = new URL(primary.url)
    url.port = String(proxy.port)
    const pool = createPool(url.href, { statementMs: 400 })
    try {
      await pool.query('SELECT 1')
      proxy.swallow()
      await expect(pool.query('SELECT 2')).rejects.toThrow(/Query read timeout/)
      proxy.pass()
      expect((await pool.query('SELECT 3 AS n')).rows).toEqual([{ n: 3 }])
      await expect(pool.query('SELECT pg_sleep(60)')).rejects.toThrow(/statement timeout/)
    } finally {
      await pool.end()
      await proxy.close()
    }
  })
})
