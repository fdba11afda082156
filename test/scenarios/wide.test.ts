// As many stages as a run may have, all at once.
import { expect, test } from 'vitest'
import { scenarioOfFile } from '../support/scenario.ts'

const scenario = await scenarioOfFile()

test('a thousand stages side by side, each with more to say than an append has room for', async () => {
  const note = 'x'.repeat(300)
  const ids = Array.from({ length: 999 }, (_, at) => `s${at}`)
  const stages = Object.fromEntries(ids.map((id) => [id, { uses: 'echo', with: { note } }]))
  const run = await scenario.run({ name: 'wide', stages: { ...stages, last: { uses: 'echo', needs: ids } } })
  expect(await run.end()).toBe('ExecutionCompleted')
  const completed = (await run.data('StageCompleted')).map(({ stage }) => stage)
  expect(completed).toHaveLength(1_000)
  expect(completed.at(-1)).toBe('last')
})
