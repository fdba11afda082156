// Other definitions and other rules, tried on what runs recorded.
import { expect, test } from 'vitest'
import type { Json } from '../../src/domain/message.ts'
import { scenarioOfFile } from '../support/scenario.ts'

const scenario = await scenarioOfFile()
const BASE = '/v1/default/workflows'
const post = (path: string, payload: Json) =>
  scenario.server.inject({ method: 'POST', url: `${BASE}/${path}`, payload: payload as object })

const retry = (maxAttempts: number) =>
  maxAttempts === 1 ? { maxAttempts } : { maxAttempts, backoff: { type: 'fixed', initial: '1ms', jitter: 0 } }
const delivery = (name: string, attempts: number, more: object = {}) => ({
  name,
  stages: {
    build: { uses: 'echo' },
    ship: { uses: 'flaky', needs: ['build'], retry: retry(attempts) },
    tell: { uses: 'echo', needs: ['ship'] },
  },
  ...more,
})

test('a definition is run against what a run recorded, and nothing is started by it', async () => {
  const run = await scenario.run(delivery('tried', 2))
  expect(await run.end()).toBe('ExecutionCompleted')
  const head = await scenario.store.head()
  const simulate = async (definition: object) => {
    const response = await post('tried/simulate', { definition: definition as Json, executions: [run.id] })
    expect(response.statusCode, response.body).toBe(200)
    return response.json()
  }
  const same = await simulate(delivery('tried', 2))
  expect(same.runs[0]).toMatchObject({
    execution: run.id,
    recorded: { status: 'completed', retries: 1 },
    simulated: { status: 'completed', retries: 1, path: ['build', 'ship', 'tell'] },
    differences: [],
  })
  expect(same.summary).toMatchObject({ runs: 1, sameStatus: 1, completed: { recorded: 1, simulated: 1 } })
  const once = await simulate(delivery('tried', 1))
  expect(once.runs[0].simulated.status).toBe('failed')
  expect(once.runs[0].differences).toEqual([
    { stage: 'ship', recorded: 'completed', simulated: 'failed' },
    { stage: 'tell', recorded: 'completed', simulated: 'skipped' },
  ])
  const { tell: _, ...fewer } = delivery('tried', 2).stages
  const other = await simulate({ name: 'tried', stages: { ...fewer, scan: { uses: 'echo', needs: ['ship'] } } })
  expect(other.runs[0].differences).toEqual([
    { stage: 'tell', recorded: 'completed', simulated: null },
    { stage: 'scan', recorded: null, simulated: 'completed' },
  ])
  expect(other.runs[0].simulated.stages.find(({ stage }: { stage: string }) => stage === 'scan').assumed).toBe(true)
  expect(await scenario.store.head()).toBe(head)
})

test('a run that was restored is simulated with what it was restored with', async () => {
  const stages = {
    build: { uses: 'echo', with: { image: 'x:1' } },
    ship: { uses: 'fails', needs: ['build'], with: { of: '${{ stages.build.output.image }}' } },
  }
  const run = await scenario.run({ name: 'again', stages })
  await run.end()
  const next = scenario.runOf(await run.post('restore'))
  expect(await next.end()).toBe('ExecutionFailed')
  const response = await post('again/simulate', { definition: { name: 'again', stages }, executions: [next.id] })
  const [{ simulated, differences }] = response.json().runs
  expect(differences).toEqual([])
  expect(simulated.stages.map(({ assumed }: { assumed: boolean }) => assumed)).toEqual([false, false])
})

test('a rule of which only the recovery was changed counts as another', async () => {
  const rule = { name: 'known', match: { code: 'BROKEN' } }
  const ships = { name: 'changed', stages: { ship: { uses: 'fails' } }, failures: [{ ...rule, recover: 'continue' }] }
  const run = await scenario.run(ships)
  await run.end()
  const backtest = async (recover: string) =>
    (await post('changed/failures/backtest', { failures: [{ ...rule, recover }], executions: [run.id] })).json()
  expect((await backtest('continue')).reclassified).toEqual([])
  expect((await backtest('skip')).reclassified).toMatchObject([
    { recorded: { rule: 'known', recovery: 'continue' }, now: { rule: 'known', recovery: 'skip' } },
  ])
})

test('rules are tried on the failures of past runs: what they would save, and what they would add', async () => {
  const run = await scenario.run(delivery('judged', 2))
  await run.end()
  const stubborn = await scenario.run({ name: 'judged', stages: { ship: { uses: 'fails' } } })
  await stubborn.end()
  const backtest = async (failures: Json) => {
    const response = await post('judged/failures/backtest', { failures, executions: [run.id, stubborn.id] })
    expect(response.statusCode, response.body).toBe(200)
    return response.json()
  }
  expect((await backtest([])).retries).toEqual({ saved: 0, added: 0 })
  const hopeless = { name: 'hopeless', match: { code: 'FLAKY' }, class: 'configuration', recover: 'fail-fast' }
  const saved = await backtest([hopeless])
  expect(saved.retries).toEqual({ saved: 1, added: 0 })
  expect(saved.reclassified).toEqual([
    {
      ...{ execution: run.id, stage: 'ship', attempt: 1 },
      recorded: { class: 'unknown', rule: 'none', recovery: 'retry' },
      now: { class: 'configuration', rule: 'hopeless', recovery: 'fail-fast' },
    },
  ])
  expect(saved.summary.completed).toEqual({ recorded: 1, simulated: 0 })
  const patient = { name: 'patient', match: { stage: 'ship' }, recover: { action: 'retry', maxAttempts: 3 } }
  expect((await backtest([patient])).retries).toEqual({ saved: 0, added: 1 })
})

test('what cannot be tried is said, with its place', async () => {
  const run = await scenario.run({ name: 'other', stages: { a: { uses: 'echo' } } })
  await run.end()
  const faulty = await post('tried/simulate', { definition: { name: 'tried', stages: { a: { uses: 'gate' } } } })
  expect(faulty.statusCode).toBe(422)
  expect(faulty.json().errors).toEqual([
    { pointer: '/definition/stages/a/uses', message: 'the handler `gate` is not supported yet' },
  ])
  const definition = delivery('tried', 1)
  expect((await post('tried/simulate', { definition, executions: [run.id] })).json().code).toBe('EXECUTION_UNKNOWN')
  expect((await post('tried/simulate', { definition, last: 101 })).statusCode).toBe(400)
  const rules = await post('tried/failures/backtest', { failures: [{ name: 'x', match: { message: '(' } }] })
  expect(rules.statusCode).toBe(422)
  expect(rules.json().errors[0].pointer).toBe('/failures/0/match/message')
})
