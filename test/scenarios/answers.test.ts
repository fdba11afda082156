// What a run waits for from outside: approvals of people, and signals.
import { expect, test } from 'vitest'
import type { Json } from '../../src/domain/message.ts'
import { expectProblem } from '../support/problems.ts'
import { type Run, scenarioOfFile } from '../support/scenario.ts'

const scenario = await scenarioOfFile()

const as = (actor: string) => ({ 'millrace-actor': actor })
const asks = (name: string, given: { [key: string]: Json }) => ({
  name,
  stages: {
    ask: { uses: 'approval', with: given },
    go: { uses: 'echo', needs: ['ask'], with: { by: '${{ stages.ask.output.approvedBy }}' } },
    undo: { uses: 'echo', needs: ['ask'], trigger: 'any-failure' },
  },
})
const approve = (run: Run, who: string, body: Json = {}) => run.post('stages/ask/approve', body, as(who))

test('one of those who may approves, with a comment', async () => {
  const run = await scenario.run(asks('approved', { approvers: ['ada', 'bob'], message: 'Ship it?' }))
  expect((await run.state()).stages.ask).toMatchObject({ status: 'waiting', waiting: { for: 'approval' } })
  expect(await run.data('ApprovalRequested')).toEqual([
    { stage: 'ask', attempt: 1, approvers: ['ada', 'bob'], required: 1, selfApproval: true, message: 'Ship it?' },
  ])
  expectProblem(await approve(run, 'eve'), 403, 'APPROVER_NOT_ALLOWED')
  expectProblem(await run.post('stages/ask/approve'), 403, 'APPROVER_NOT_ALLOWED')
  expect((await approve(run, 'bob', { comment: 'looks good' })).statusCode).toBe(202)
  expect(await run.end()).toBe('ExecutionCompleted')
  expect(await run.data('ApprovalGranted')).toEqual([
    { stage: 'ask', attempt: 1, by: 'user:bob', comment: 'looks good' },
  ])
  expect((await run.state()).stages.go?.output).toEqual({ by: ['user:bob'] })
})

test('without approvers anybody may, and who started the run too', async () => {
  const run = await scenario.run(asks('approved-by-anybody', {}), {}, as('ada'))
  expect((await approve(run, 'ada')).statusCode).toBe(202)
  expect(await run.end()).toBe('ExecutionCompleted')
})

test('two people have to agree, and neither is who started the run', async () => {
  const run = await scenario.run(asks('two-people', { required: 2, selfApproval: false }), {}, as('ada'))
  expectProblem(await approve(run, 'ada'), 403, 'APPROVER_NOT_ALLOWED')
  const first = await approve(run, 'bob')
  expect((await approve(run, 'bob')).json(), 'counts once').toEqual(first.json())
  expect((await run.state()).stages.ask?.status).toBe('waiting')
  expect((await approve(run, 'cy')).statusCode).toBe(202)
  expect(await run.end()).toBe('ExecutionCompleted')
  expect((await run.state()).stages.ask?.output).toEqual({ approvedBy: ['user:bob', 'user:cy'] })
  expectProblem(await approve(run, 'dan'), 409)
})

test('one who may rejects, and the stage has failed for good', async () => {
  const run = await scenario.run(asks('rejected', { approvers: 'ada', required: 1 }))
  expectProblem(await run.post('stages/ask/reject', {}, as('bob')), 403, 'APPROVER_NOT_ALLOWED')
  await run.post('stages/ask/reject', { comment: 'not on a Friday' }, as('ada'))
  expect(await run.end()).toBe('ExecutionFailed')
  const { stages, error } = await run.state()
  expect(stages.ask?.error).toMatchObject({
    code: 'APPROVAL_REJECTED',
    message: 'user:ada rejected it: not on a Friday',
  })
  expect(stages).toMatchObject({ ask: { attempt: 1 }, go: { status: 'skipped' }, undo: { status: 'completed' } })
  expect(error).toMatchObject({ code: 'STAGE_FAILED', stages: ['ask'] })
})

test('an approval that nobody gives in time fails', async () => {
  const run = await scenario.run(asks('approved-late', { timeout: '4h' }))
  const until = (await run.state()).stages.ask?.waiting?.until
  expect(Date.parse(until!) - Date.parse((await run.state()).startedAt)).toBe(4 * 3_600_000)
  scenario.clock.leap(3 * 3_600_000)
  expect((await run.state()).stages.ask?.status).toBe('waiting')
  scenario.clock.leap(2 * 3_600_000)
  expect(await run.end()).toBe('ExecutionFailed')
  expect((await run.state()).stages.ask?.error).toMatchObject({ code: 'TIMED_OUT' })
})

test('who approves and what for may come from the input; what does not fit then fails the stage', async () => {
  const document = asks('approved-by-input', { approvers: '${{ input.who }}', required: '${{ input.count }}' })
  const run = await scenario.run(document, { input: { who: ['ada'], count: 1 } })
  expectProblem(await approve(run, 'bob'), 403)
  await approve(run, 'ada')
  expect(await run.end()).toBe('ExecutionCompleted')
  const bad = await scenario.run(document, { input: { who: [], count: 1 } })
  expect(await bad.end()).toBe('ExecutionFailed')
  expect((await bad.state()).stages.ask?.error).toMatchObject({ code: 'INPUT_INVALID' })
})

test('an approval of a stage that waits for none is refused', async () => {
  const run = await scenario.run({ name: 'unasked', stages: { slow: { uses: 'held' } } })
  await run.until('slow 1 StageStarted')
  for (const word of ['approve', 'reject'])
    expectProblem(await run.post(`stages/slow/${word}`), 409, 'STAGE_NOT_WAITING')
  scenario.release(run, 'slow')
  await run.end()
})

const listens = (name: string, given: { [key: string]: Json } = {}) => ({
  name,
  stages: {
    first: { uses: 'held' },
    deployed: { uses: 'signal', needs: ['first'], with: { name: 'deployed', ...given } },
  },
})

test('a stage that waits for a signal completes with its payload', async () => {
  const run = await scenario.run(listens('signalled'))
  await run.until('first 1 StageStarted')
  scenario.release(run, 'first')
  await run.until('deployed 1 StageScheduled')
  expect((await run.state()).stages.deployed).toMatchObject({ status: 'waiting', waiting: { for: 'signal' } })
  await run.post('signals/other', { no: true })
  expect((await run.state()).status).toBe('running')
  expect((await run.post('signals/deployed', { host: 'a1' })).statusCode).toBe(202)
  expect(await run.end()).toBe('ExecutionCompleted')
  expect((await run.state()).stages.deployed?.output).toEqual({ host: 'a1' })
  expectProblem(await run.post('signals/deployed', { host: 'a2' }), 409, 'EXECUTION_ALREADY_ENDED')
})

test('signals that come early are kept, and taken in their order', async () => {
  const run = await scenario.run({
    name: 'signalled-early',
    stages: {
      first: { uses: 'held' },
      one: { uses: 'signal', needs: ['first'], with: { name: 'part' } },
      two: { uses: 'signal', needs: ['one'], with: { name: 'part' } },
    },
  })
  await run.until('first 1 StageStarted')
  for (const payload of [1, 2, 3]) await run.post('signals/part', payload)
  scenario.release(run, 'first')
  expect(await run.end()).toBe('ExecutionCompleted')
  const { stages } = await run.state()
  expect([stages.one?.output, stages.two?.output]).toEqual([1, 2])
})

test('a signal sent again with the same key is one signal, and the key is not for another payload', async () => {
  const run = await scenario.run(listens('signalled-again'))
  await run.until('first 1 StageStarted')
  const key = { 'idempotency-key': 'delivery-7' }
  const first = await run.post('signals/deployed', { host: 'a1', port: 1 }, key)
  expect((await run.post('signals/deployed', { port: 1, host: 'a1' }, key)).json()).toEqual(first.json())
  expectProblem(await run.post('signals/deployed', { host: 'a2' }, key), 422, 'IDEMPOTENCY_KEY_REUSED')
  expect((await run.post('signals/other', { host: 'a2' }, key)).statusCode, 'a key of another signal').toBe(202)
  expect(await run.data('SignalReceived')).toHaveLength(2)
  scenario.release(run, 'first')
  await run.end()
})

test('a signal may have any payload, or none, up to 256 KiB', async () => {
  const run = await scenario.run(listens('signalled-with-anything'))
  await run.until('first 1 StageStarted')
  for (const payload of [null, 'text', 7, [1, { a: [] }], 'x'.repeat(262_142)])
    expect((await run.post('signals/anything', payload)).statusCode).toBe(202)
  expect((await run.post('signals/anything')).statusCode).toBe(202)
  expectProblem(await run.post('signals/anything', 'x'.repeat(262_143)), 413, 'EVENT_TOO_LARGE')
  const payloads = (await run.data('SignalReceived')).map(({ payload }) => payload)
  expect(payloads.slice(0, 4)).toEqual([null, 'text', 7, [1, { a: [] }]])
  expect(payloads.at(-1)).toEqual({})
  await run.post('cancel')
  await run.end()
})

test('a signal that does not come in time fails the stage', async () => {
  const run = await scenario.run(listens('signalled-late', { timeout: '10m' }))
  await run.until('first 1 StageStarted')
  scenario.release(run, 'first')
  await run.until('deployed 1 StageScheduled')
  scenario.clock.leap(11 * 60_000)
  expect(await run.end()).toBe('ExecutionFailed')
  expect((await run.state()).stages.deployed?.error).toMatchObject({ code: 'TIMED_OUT' })
})
