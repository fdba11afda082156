// Who asked for what, and what came of it; and the chain over it, of which no byte can be changed unseen.
import { generateKeyPairSync } from 'node:crypto'
import fc from 'fast-check'
import type { LightMyRequestResponse } from 'fastify'
import { afterAll, beforeAll, describe, expect, type TestContext, test } from 'vitest'
import { signerOf } from '../../src/adapters/audit-key.ts'
import { verifyLines } from '../../src/cli/audit.ts'
import { AuditChain, type AuditVerdict, type KnownCheckpoint } from '../../src/cli/audit-chain.ts'
import { newId } from '../../src/commands/new-id.ts'
import { build } from '../support/build.ts'
import { startTestPostgres, type TestPostgres } from '../support/postgres.ts'
import { expectProblem } from '../support/problems.ts'
import { until } from '../support/recorded-log.ts'

let postgres: TestPostgres
beforeAll(async () => {
  postgres = await startTestPostgres()
})
afterAll(() => postgres.stop())

type Entry = {
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

const AUDIT = '/v1/default/audit'

async function installation(t: TestContext) {
  const built = await build(t, postgres)
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

const verdictOn = (
  bytes: Buffer,
  publicKey?: string,
  known: readonly KnownCheckpoint[] = [],
): Promise<AuditVerdict> => {
  async function* chunks() {
    yield bytes
  }
  return verifyLines(chunks(), new AuditChain({ known, ...(publicKey === undefined ? {} : { publicKey }) }))
}

describe('the audit', () => {
  test('has every command with who, what, when, from where and why, and what it led to', async (t) => {
    const { send, run, entries, built } = await installed(t)
    const id = await run('endless')
    await built.happened(id, 'StageStarted')
    await send('POST', `executions/${id}/cancel`, { reason: 'wrong branch' }, { 'millrace-reason': 'ticket 17' })
    await built.ended(id)
    const all = await entries()
    const of = (command: string) => all.filter((entry) => entry.command === command)
    expect(of('RegisterWorkflow')).toHaveLength(2)
    expect(of('StartExecution')).toMatchObject([
      {
        ...{
          actor: 'user:ada',
          source: '127.0.0.1',
          outcome: 'accepted',
          correlationId: id,
          stream: `execution-${id}`,
        },
        events: [{ type: 'ExecutionStarted' }, { type: 'StageScheduled', stage: 'build' }],
      },
    ])
    expect(of('StartExecution')[0]).not.toHaveProperty('reason')
    expect(of('CancelExecution')).toMatchObject([
      { actor: 'user:ada', reason: 'ticket 17', events: [{ type: 'ExecutionCancellationRequested' }] },
    ])
    // Those of workers have a name of their own, and were sent by nobody.
    const begun = all.find(({ events }) => events[0]?.type === 'StageStarted')!
    expect(begun.actor).toMatch(/^worker:/)
    expect(begun).not.toHaveProperty('source')
    expect(all.map(({ sequence }) => Number(sequence))).toEqual(
      all.map(({ sequence }) => Number(sequence)).toSorted((a, b) => b - a),
    )
    const sequences = all.flatMap(({ events }) => events.map(({ sequence }) => Number(sequence))).sort((a, b) => a - b)
    expect(sequences).toEqual(sequences.map((_, at) => at + 1))
  })

  test('has what was refused, and why, and nothing of what was no command', async (t) => {
    const { send, entries, server, store } = await installation(t)
    const head = await store.head()
    expectProblem(await send('POST', 'executions', { workflow: 'nothing' }), 404, 'WORKFLOW_UNKNOWN')
    const [refused] = await entries('&outcome=refused')
    expect(refused).toMatchObject({
      ...{
        actor: 'user:ada',
        source: '127.0.0.1',
        command: 'StartExecution',
        outcome: 'refused',
        stream: 'audit-default',
      },
      refusal: { subject: '/v1/default/executions', status: 404, code: 'WORKFLOW_UNKNOWN' },
      events: [{ type: 'CommandRefused' }],
    })
    expect(refused!.refusal!.detail).toBe('there is no such workflow')
    expect(await store.head()).toBe(head + 1)
    // Questions, whatever their method, and what could not be read leave nothing.
    await send('POST', 'workflows/validate', { name: 'x', stages: { a: { uses: 'shell', needs: ['b'] } } })
    await send('POST', 'executions', { nope: 1 })
    await server.inject({
      method: 'POST',
      url: '/v1/default/executions',
      payload: '{',
      headers: { 'content-type': 'application/json' },
    })
    await server.inject('/v1/default/executions/0190b6a0-0000-7000-8000-00000000ffff')
    expect(await store.head()).toBe(head + 1)
    expect(await entries('&outcome=refused')).toHaveLength(1)
  })

  test('is listed whatever events have in them', async (t) => {
    const { store, entries, exported, key } = await installation(t)
    const metadata = { namespace: 'default', correlationId: newId(), commandId: newId(), actor: 'user:ada' }
    const odd = { stage: 'build', detail: 'a\u0000b\ud83d', 10: 1.5e300, 2: { stage: 'inner' } }
    const data = { ...odd, command: 'StartExecution', subject: '/', status: 409, code: 'NONE' }
    const at = new Date().toISOString()
    const event = { id: newId(), type: 'CommandRefused', version: 1, at, data, metadata }
    await store.append('audit-default', 'noStream', [event])
    expect((await entries())[0]!.events).toMatchObject([{ type: 'CommandRefused' }])
    expect(await entries('&outcome=refused')).toHaveLength(1)
    expect((await verdictOn(await exported(), (await key()).publicKey)).faults).toEqual([])
  })

  test('has what was done to the installation, in a namespace of its own', async (t) => {
    const { server, entries } = await installation(t)
    await entries()
    const headers = { 'millrace-actor': 'ada', 'millrace-reason': 'to see' }
    const asked = await server.inject({
      method: 'POST',
      url: '/v1/admin/projections/workflows/rebuild',
      payload: {},
      headers,
    })
    expect(asked.statusCode, asked.body).toBe(202)
    await server.inject({ method: 'POST', url: '/v1/admin/projections/workflows/rollback', payload: {}, headers })
    const own = await until('the entries', async () => {
      const { items } = (await server.inject('/v1/system/audit')).json<{ items: Entry[] }>()
      return items.some(({ command }) => command === 'RebuildProjection') && items
    })
    expect(own.find(({ command }) => command === 'RebuildProjection')).toMatchObject({
      ...{ actor: 'user:ada', reason: 'to see', source: '127.0.0.1', outcome: 'accepted' },
      events: [{ type: 'OperationPerformed' }],
    })
  })

  test('filters, and pages that stay right while more comes', async (t) => {
    const { server, run, send, entries } = await installation(t)
    for (let count = 0; count < 5; count++) await run()
    await send('POST', 'executions', { workflow: 'nothing' }, { 'millrace-actor': 'bob' })
    const all = await entries()
    expect((await entries('&actor=user:bob')).map(({ actor }) => actor)).toEqual(['user:bob'])
    expect(await entries('&command=StartExecution')).toHaveLength(6)
    expect(await entries('&command=StartExecution&outcome=refused')).toHaveLength(1)
    expect(await entries('&outcome=accepted')).toHaveLength(all.length - 1)
    expect(await entries('&from=2030-01-01T00:00:00%2B23:00')).toEqual([])
    const paged: Entry[] = []
    for (let cursor: string | null = ''; cursor !== null; ) {
      const answer: LightMyRequestResponse = await server.inject(
        `${AUDIT}?limit=3${cursor === '' ? '' : `&cursor=${cursor}`}`,
      )
      const page = answer.json<{ items: Entry[]; nextCursor: string | null }>()
      paged.push(...page.items)
      cursor = page.nextCursor
      await run()
      await entries()
    }
    expect(paged.map(({ commandId }) => commandId)).toEqual(all.map(({ commandId }) => commandId))
    for (const query of [
      'actor=',
      'command=cancel',
      'outcome=maybe',
      'from=yesterday',
      'from=0000-01-01T00:00:00Z',
      'cursor=abc',
      'sort=at',
      'limit=0',
    ])
      expectProblem(await server.inject(`${AUDIT}?${query}`), 400)
    expectProblem(await server.inject(`${AUDIT}?actor=${'x'.repeat(201)}`), 400)
  })
})

/** For the one test that waits for events. */
const installed = async (t: TestContext) => {
  const built = await installation(t)
  return { ...built, built }
}

describe('an export', () => {
  test('is verified by itself, with its signature and checkpoints that were kept', async (t) => {
    const { run, exported, key, server, send } = await installation(t)
    await run()
    await send('POST', 'executions', { workflow: 'nothing' })
    const first = await exported()
    const { publicKey } = await key()
    const kept = (await server.inject(`${AUDIT}/checkpoint`)).json<{ checkpoint: KnownCheckpoint }>().checkpoint
    const verdict = await verdictOn(first, publicKey, [kept])
    expect(verdict).toMatchObject({ faults: [], namespace: 'default', from: 1, to: kept.sequence })
    expect(verdict.signedAt).toMatch(/^\d{4}-/)
    expect((await verdictOn(first)).signedAt).toBeUndefined()
    await run()
    const later = await exported()
    expect(await verdictOn(later, publicKey, [kept])).toMatchObject({ faults: [] })
    // From the middle on, it links to what was before.
    const tail = await exported(`?from=${kept.sequence + 1}`)
    expect(await verdictOn(tail, publicKey, [kept])).toMatchObject({ faults: [], from: kept.sequence + 1 })
    // An older export lacks what the newer checkpoint has.
    const newest = (await server.inject(`${AUDIT}/checkpoint`)).json<{ checkpoint: KnownCheckpoint }>().checkpoint
    expect((await verdictOn(first, publicKey, [newest])).faults).toMatchObject([
      { what: expect.stringContaining('was cut') },
    ])
    // One that lies before the export says nothing of it, nor one of another namespace.
    expect((await verdictOn(tail, publicKey, [{ ...kept, sequence: kept.sequence - 1 }])).faults).toMatchObject([
      { what: expect.stringContaining('before the export begins') },
    ])
    expect((await verdictOn(first, publicKey, [{ ...kept, namespace: 'defau1t' }])).faults).not.toEqual([])
    const other = signerOf(generateKeyPairSync('ed25519').privateKey).publicKey
    expect((await verdictOn(first, other)).faults).toMatchObject([
      { what: expect.stringContaining('is signed with the key') },
    ])
    expectProblem(await server.inject(`${AUDIT}/export?from=99999`), 404)
    expectProblem(await server.inject(`${AUDIT}/export?from=0`), 400)
    const nothing = (await server.inject('/v1/other/audit/export')).rawPayload
    expect(await verdictOn(nothing, publicKey)).toMatchObject({ faults: [], to: 0 })
  })

  test('and the list have nothing to say while the chain is built by a newer version', async (t) => {
    const { server, run, exported, pool } = await installation(t)
    await run()
    await exported()
    await pool.query(`UPDATE checkpoints SET version = 1 WHERE name = 'events'`)
    for (const url of [AUDIT, `${AUDIT}/export`, `${AUDIT}/checkpoint`]) {
      const answer = await server.inject(url)
      expectProblem(answer, 503, 'UNAVAILABLE')
      expect(answer.headers['retry-after']).toBe('1')
    }
  })

  test('does not depend on how the read models were built', async (t) => {
    const { run, exported, server, pool } = await installation(t)
    await run()
    const records = (bytes: Buffer) => bytes.toString().split('\n').slice(0, -2)
    const before = records(await exported())
    await server.inject({ method: 'POST', url: '/v1/admin/projections/events/rebuild', payload: {} })
    await until('the swap', async () => {
      const { rows } = await pool.query(`SELECT status FROM projection_rebuilds WHERE name = 'events'`)
      return rows[0]?.status === 'swapped'
    })
    expect(records(await exported())).toEqual(before)
  })

  test('of which any byte was changed, taken out or put in is not verified', { timeout: 120_000 }, async (t) => {
    const { run, exported, key, send } = await installation(t)
    await run()
    await send('POST', 'executions', { workflow: 'nothing' })
    const bytes = await exported()
    const { publicKey } = await key()
    const isSeen = async (changed: Buffer) => expect((await verdictOn(changed, publicKey)).faults).not.toEqual([])
    const place = fc.nat({ max: bytes.length - 1 })
    await fc.assert(
      fc.asyncProperty(place, fc.integer({ min: 1, max: 255 }), async (at, by) => {
        const changed = Buffer.from(bytes)
        changed[at] = (changed[at]! + by) % 256
        await isSeen(changed)
      }),
      { numRuns: 4_000 },
    )
    await fc.assert(
      fc.asyncProperty(place, fc.nat({ max: 255 }), fc.boolean(), async (at, byte, out) => {
        const changed = Buffer.concat([
          bytes.subarray(0, at),
          Buffer.from(out ? [] : [byte]),
          bytes.subarray(out ? at + 1 : at),
        ])
        // Of two equal neighbours it is no change which of them went or came.
        if (!changed.equals(bytes)) await isSeen(changed)
      }),
      { numRuns: 4_000 },
    )
  })

  test('of which lines were taken out, put in, exchanged or cut is not verified, and it is said which', async (t) => {
    const { run, exported, key } = await installation(t)
    await run()
    const bytes = await exported()
    await run()
    const later = await exported()
    const { publicKey } = await key()
    const lines = bytes.toString().trimEnd().split('\n')
    const faultsOf = async (changed: readonly string[]) =>
      (await verdictOn(Buffer.from(changed.map((line) => `${line}\n`).join('')), publicKey)).faults
    expect(await faultsOf(lines)).toEqual([])
    for (let at = 1; at < lines.length - 1; at++) {
      const [fault] = await faultsOf(lines.toSpliced(at, 1))
      expect(fault!.line).toBe(at + 1)
      expect((await faultsOf(lines.toSpliced(at, 0, lines[at]!)))[0]!.line).toBe(at + 2)
      if (at > 1) expect((await faultsOf(lines.toSpliced(at - 1, 2, lines[at]!, lines[at - 1]!)))[0]!.line).toBe(at)
      expect(await faultsOf(lines.slice(0, at + 1))).toMatchObject([
        { what: expect.stringContaining('its end was cut') },
      ])
      // Cut, with the checkpoint put after it again.
      if (at < lines.length - 2) expect(await faultsOf([...lines.slice(0, at + 1), lines.at(-1)!])).not.toEqual([])
    }
    // The checkpoint of another export.
    expect(await faultsOf([...lines.slice(0, -1), later.toString().trimEnd().split('\n').at(-1)!])).not.toEqual([])
    expect(await faultsOf([])).toMatchObject([{ what: 'the export is empty' }])
    expect((await verdictOn(bytes.subarray(0, -1), publicKey)).faults).toMatchObject([
      { what: expect.stringContaining('cut') },
    ])
  })
})

test('a run is told event by event, in words, with how it stood', async (t) => {
  const { server, run } = await installation(t)
  const id = await run()
  const url = `/v1/default/executions/${id}/replay`
  type Paged = { items: Step[]; nextCursor: string | null }
  type Step = { revision: string; says: string; status: string; stages: Record<string, number>; actor: string }
  const { items, nextCursor } = (await server.inject(url)).json<{ items: Step[]; nextCursor: string | null }>()
  expect(nextCursor).toBeNull()
  expect(items[0]).toMatchObject({
    ...{ revision: '0', status: 'running', actor: 'user:ada' },
    says: 'A run of chain version 1 was started by user:ada (api).',
  })
  expect(items.at(-1)).toMatchObject({
    status: 'completed',
    stages: { completed: 1 },
    says: 'The run completed; 1 of its stages did.',
  })
  expect(items.map(({ revision }) => Number(revision))).toEqual(items.map((_, at) => at))
  const paged: Step[] = []
  for (let cursor: string | null = '0'; cursor !== null; ) {
    const page: Paged = (await server.inject(`${url}?limit=2&cursor=${cursor}`)).json()
    paged.push(...page.items)
    cursor = page.nextCursor
  }
  expect(paged).toEqual(items)
  expectProblem(await server.inject('/v1/other/executions/0190b6a0-0000-7000-8000-00000000ffff/replay'), 404)
})
