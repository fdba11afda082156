// Bad input to what controls a run: a problem, no event, and the process lives on.
import type { InjectOptions } from 'fastify'
import { describe, expect, test } from 'vitest'
import { headBesidesAudit } from '../support/head-besides-audit.ts'
import { expectProblem } from '../support/problems.ts'
import { scenarioOfFile } from '../support/scenario.ts'

const scenario = await scenarioOfFile()
const ended = await scenario.run({ name: 'short', stages: { build: { uses: 'echo' } } })
await ended.end()
const open = await scenario.run({ name: 'long', stages: { build: { uses: 'signal', with: { name: 'go' } } } })

async function refused(request: InjectOptions, status: number, code?: string) {
  const head = await headBesidesAudit(scenario.store)
  const problem = expectProblem(await scenario.server.inject({ method: 'POST', ...request }), status, code)
  expect(await headBesidesAudit(scenario.store), 'no event is written').toBe(head)
  expect((await scenario.server.inject('/health/live')).statusCode, 'the process lives on').toBe(200)
  return problem
}

const ofRuns = ['cancel', 'pause', 'resume', 'restore']
const ofStages = ['approve', 'reject', 'retry', 'skip', 'fail'].map((verb) => `stages/build/${verb}`)
const nobody = '0190b6a0-0000-7000-8000-00000000ffff'
const json = (payload: string) => ({ payload, headers: { 'content-type': 'application/json' } })

describe.each([...ofRuns, ...ofStages, 'signals/go'])('%s', (path) => {
  const url = `${open.url}/${path}`

  test('of a run that nobody has, or another namespace → 404', async () => {
    await refused({ url: `/v1/default/executions/${nobody}/${path}` }, 404, 'EXECUTION_UNKNOWN')
    await refused({ url: url.replace('default', 'other') }, 404, 'EXECUTION_UNKNOWN')
    await refused({ url: `/v1/default/executions/1/${path}` }, 404, 'NOT_FOUND')
    await refused({ url: url.replace('default', 'admin') }, 404, 'NOT_FOUND')
  })

  test('a body that cannot be read → 400, 413, 415', async () => {
    await refused({ url, ...json('{"a":') }, 400, 'BODY_MALFORMED')
    await refused({ url, ...json('{"__proto__":{}}') }, 400, 'BODY_MALFORMED')
    await refused({ url, ...json(JSON.stringify({ reason: 'x'.repeat(1_048_576) })) }, 413, 'BODY_TOO_LARGE')
    await refused({ url, payload: 'a', headers: { 'content-type': 'text/plain' } }, 415, 'CONTENT_TYPE_UNSUPPORTED')
  })

  test('an actor that is no name → 400 with a pointer', async () => {
    for (const actor of ['', 'two words', '-ada', 'é', 'a/b', 'x'.repeat(65)]) {
      const { errors } = await refused({ url, headers: { 'millrace-actor': actor } }, 400, 'REQUEST_INVALID')
      expect(errors.map(({ pointer }) => pointer)).toEqual(['/headers/millrace-actor'])
    }
  })
})

type Case = readonly [path: string, body: unknown, pointer: string]

describe('members', () => {
  const reason = 'x'.repeat(1_025)
  const cases: readonly Case[] = [
    ...[...ofRuns, ...ofStages].map((path): Case => [path, { nope: 1 }, '/nope']),
    ...[...ofRuns, ...ofStages].map((path): Case => [path, [], '']),
    ...['cancel', 'pause', 'resume', 'stages/build/skip', 'stages/build/fail'].flatMap((path): Case[] => [
      [path, { reason: '' }, '/reason'],
      [path, { reason }, '/reason'],
    ]),
    ['stages/build/approve', { comment: 7 }, '/comment'],
    ['stages/build/reject', { comment: reason }, '/comment'],
    ['stages/build/retry', { with: 'run' }, '/with'],
    ['stages/build/retry', { comment: '' }, '/comment'],
    ['restore', { revision: -1 }, '/revision'],
    ['restore', { revision: 1.5 }, '/revision'],
    ['restore', { stage: 7 }, '/stage'],
    ['restore', { stage: 'x'.repeat(256) }, '/stage'],
    ['restore', { stage: 'build', checkpoint: 0 }, '/checkpoint'],
    ['restore', { checkpoint: 1 }, '/stage'],
    ['restore', { overrides: { nope: 1 } }, '/overrides/nope'],
    ['restore', { overrides: { version: '1' } }, '/overrides/version'],
    ['restore', { overrides: { stages: { build: { nope: 1 } } } }, '/overrides/stages/build/nope'],
    ['restore', { overrides: { stages: { build: { with: [] } } } }, '/overrides/stages/build/with'],
  ]
  test.each(cases)('%s %j → 400 at %j', async (path, body, pointer) => {
    const { errors } = await refused({ url: `${open.url}/${path}`, ...json(JSON.stringify(body)) }, 400)
    expect(errors.map((fault) => fault.pointer)).toContain(pointer)
  })
})

test.each(ofStages)('%s of a stage that nobody has → 404', async (path) => {
  for (const stage of ['nope', 'build.unit', 'constructor'])
    await refused({ url: `${open.url}/${path.replace('build', stage)}` }, 404, 'STAGE_UNKNOWN')
  for (const stage of ['Build', '..%2fbuild', '%00', 'x'.repeat(300)])
    await refused({ url: `${open.url}/${path.replace('build', stage)}` }, 404, 'NOT_FOUND')
})

test('a run that has ended takes no command any more → 409', async () => {
  for (const path of ['cancel', 'pause', 'resume', 'signals/go', ...ofStages.filter((path) => !path.endsWith('fail'))])
    await refused({ url: `${ended.url}/${path}` }, 409, 'EXECUTION_ALREADY_ENDED')
  await refused({ url: `${ended.url}/stages/build/fail` }, 409)
})

test('a stage that is in no state for it → 409', async () => {
  await refused({ url: `${open.url}/stages/build/retry` }, 409, 'STAGE_NOT_RETRYABLE')
  for (const verb of ['approve', 'reject', 'fail'])
    await refused({ url: `${open.url}/stages/build/${verb}` }, 409, 'STAGE_NOT_WAITING')
})

test('a signal of no name, or with a payload that is too large', async () => {
  for (const name of ['1', 'a%20b', 'x'.repeat(64), '%2e%2e'])
    await refused({ url: `${open.url}/signals/${name}` }, 404, 'NOT_FOUND')
  await refused({ url: `${open.url}/signals/go`, ...json(`"${'é'.repeat(131_072)}"`) }, 413, 'EVENT_TOO_LARGE')
})

test.each(['restore', 'signals/go'])('%s with an idempotency key that is no key → 400', async (path) => {
  for (const key of ['', 'two words', 'x'.repeat(257)])
    await refused({ url: `${open.url}/${path}`, headers: { 'idempotency-key': key } }, 400, 'REQUEST_INVALID')
})

test('restoring what cannot be', async () => {
  const restore = (body: object, status: number, code: string) =>
    refused({ url: `${ended.url}/restore`, ...json(JSON.stringify(body)) }, status, code)
  await restore({ revision: 999_999_999_999 }, 422, 'RESTORE_IMPOSSIBLE')
  await restore({ overrides: { version: 2 } }, 404, 'WORKFLOW_VERSION_UNKNOWN')
  const input = 'x'.repeat(1_000_000)
  await restore({ overrides: { input } }, 413, 'EVENT_TOO_LARGE')
  await scenario.server.inject({ method: 'POST', url: '/v1/default/workflows/short/retire' })
  await restore({}, 409, 'WORKFLOW_RETIRED')
})
