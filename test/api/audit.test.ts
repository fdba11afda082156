// Who asked for what, when, from where and why, and what came of it.
import type { LightMyRequestResponse } from 'fastify'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newId } from '../../src/commands/new-id.ts'
import { AUDIT, audited, type Entry, verdictOn } from '../support/audited.ts'
import { startTestPostgres, type TestPostgres } from '../support/postgres.ts'
import { expectProblem } from '../support/problems.ts'
import { until } from '../support/recorded-log.ts'

let postgres: TestPostgres
beforeAll(async () => {
  postgres = await startTestPostgres()
})
afterAll(() => postgres.stop())

describe('the audit', () => {
  test('has every command with who, what, when, from where and why, and what it led to', async (t) => {
    const { send, run, entries, ...built } = await audited(t, postgres)
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
    const { send, entries, server, store } = await audited(t, postgres)
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
    const { store, entries, exported, key } = await audited(t, postgres)
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
    const { server, entries } = await audited(t, postgres)
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
    const { server, run, send, entries } = await audited(t, postgres)
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

test('a run is told event by event, in words, with how it stood', async (t) => {
  const { server, run } = await audited(t, postgres)
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
