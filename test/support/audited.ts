// A Millrace whose audit is asked for, and what an export of it is worth.
import { expect, type TestContext } from 'vitest'
import { verifyLines } from '../../src/cli/audit.ts'
import { AuditChain, type AuditVerdict, type KnownCheckpoint } from '../../src/cli/audit-chain.ts'
import { build } from './build.ts'
import type { TestPostgres } from './postgres.ts'

export type Entry = {
  commandId: string
  sequence: string
  actor: string
  command?: string
  source?: string
  reason?: string
  outcome: string
  stream: string
  correlationId: string
  refusal?: { subject: string; status: number; code: string; detail: string }
  events: { type: string; stage?: string; sequence: string }[]
}

export const AUDIT = '/v1/default/audit'

export async function audited(t: TestContext, postgres: TestPostgres, options: Parameters<typeof build>[2] = {}) {
  const built = await build(t, postgres, options)
  const { server, store, queries } = built
  const send = (
    method: 'PUT' | 'POST' | 'DELETE',
    url: string,
    payload: object,
    headers: Record<string, string> = {},
  ) => server.inject({ method, url: `/v1/default/${url}`, payload, headers: { 'millrace-actor': 'ada', ...headers } })
  const register = (name: string, uses = 'echo') =>
    send('PUT', `workflows/${name}`, { name, stages: { build: { uses, with: { say: 'ä\u2028"\\ 😀' } } } })
  expect((await register('chain')).statusCode).toBe(201)
  await register('endless', 'forever')
  const caughtUp = async () => expect(await queries.reached(await store.head(), 20_000)).toBe(true)
  const entries = async (query = '') => {
    await caughtUp()
    const answer = await server.inject(`${AUDIT}?limit=200${query}`)
    expect(answer.statusCode, answer.body).toBe(200)
    return answer.json<{ items: Entry[] }>().items
  }
  const run = async (workflow = 'chain') => {
    const { id } = (await send('POST', 'executions', { workflow })).json<{ id: string }>()
    if (workflow === 'chain') await built.ended(id)
    return id
  }
  const exported = async (query = '') => {
    await caughtUp()
    const answer = await server.inject(`${AUDIT}/export${query}`)
    expect(answer.statusCode, answer.body).toBe(200)
    expect(answer.headers['content-type']).toContain('application/x-ndjson')
    return answer.rawPayload
  }
  const key = async () => (await server.inject('/v1/admin/audit/key')).json<{ publicKey: string; keyId: string }>()
  return { ...built, send, run, entries, exported, caughtUp, key }
}

export const verdictOn = (
  bytes: Buffer,
  publicKey?: string,
  known: readonly KnownCheckpoint[] = [],
): Promise<AuditVerdict> => {
  async function* chunks() {
    yield bytes
  }
  return verifyLines(chunks(), new AuditChain({ known, ...(publicKey === undefined ? {} : { publicKey }) }))
}
