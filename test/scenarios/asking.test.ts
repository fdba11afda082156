// A failure that a rule hands to a person: the run waits for a word, and goes on as it says.
import { expect, test } from 'vitest'
import { scenarioOfFile } from '../support/scenario.ts'

const scenario = await scenarioOfFile()

const asking = (name: string) => ({
  name,
  stages: { deploy: { uses: 'held', with: { to: 'blue' } }, verify: { uses: 'echo', needs: ['deploy'] } },
  failures: [{ name: 'licence', match: { code: 'LICENCE_EXPIRED' }, class: 'authentication', recover: 'ask' }],
})

async function failed(name: string) {
  const run = await scenario.run(asking(name))
  await run.until('deploy 1 StageStarted')
  scenario.release(run, 'deploy', { error: 'LICENCE_EXPIRED' })
  await run.until('deploy 1 StageFailed')
  return run
}

test('says what it waits for, and tries again with what the person changed', async () => {
  const run = await failed('ask-retry')
  const { status, stages } = await run.state()
  expect(status).toBe('running')
  expect(stages.deploy).toMatchObject({ status: 'waiting', attempt: 1, waiting: { for: 'person' } })
  expect(await run.data('StageFailed')).toMatchObject([{ class: 'authentication', rule: 'licence', recovery: 'ask' }])
  const body = { with: { to: 'green' }, comment: 'the licence was renewed' }
  expect((await run.post('stages/deploy/retry', body, { 'millrace-actor': 'ada' })).statusCode).toBe(202)
  await run.until('deploy 2 StageStarted')
  scenario.release(run, 'deploy')
  expect(await run.end()).toBe('ExecutionCompleted')
  const [retried] = (await run.events()).filter(({ type }) => type === 'StageRetried')
  expect(retried).toMatchObject({ data: { reason: 'manual', with: { to: 'green' } }, metadata: { actor: 'user:ada' } })
})

test('passes the stage over, or gives it up', async () => {
  const passed = await failed('ask-skip')
  expect((await passed.post('stages/deploy/skip', { reason: 'not needed' })).statusCode).toBe(202)
  expect(await passed.end()).toBe('ExecutionCompleted')
  expect(await passed.statuses()).toEqual({ deploy: 'skipped', verify: 'completed' })
  const given = await failed('ask-fail')
  expect((await given.post('stages/deploy/fail', { reason: 'nobody renews' })).statusCode).toBe(202)
  expect(await given.end()).toBe('ExecutionFailed')
  expect(await given.statuses()).toEqual({ deploy: 'failed', verify: 'skipped' })
  expect(await given.data('StageAbandoned')).toMatchObject([{ reason: 'nobody renews' }])
  const again = await given.post('stages/deploy/fail')
  expect(again.statusCode).toBe(409)
})
