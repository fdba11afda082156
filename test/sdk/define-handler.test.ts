import { expect, expectTypeOf, it } from 'vitest'
import { z } from 'zod'
import { defineHandler, StageFailure } from '../../src/sdk/index.ts'
import { faultsOf, workflow } from '../support/documents.ts'
import { stageContext } from '../support/stage-context.ts'
import { stageFailure } from '../support/stage-failure.ts'

const greet = defineHandler({
  name: 'greet',
  input: z.object({ who: z.string().min(1), times: z.coerce.number().default(2) }),
  async run({ input, attempt, signal, log, stage }) {
    expectTypeOf(input).toEqualTypeOf<{ who: string; times: number }>()
    log(`hello ${input.who}`, 'stdout')
    return { greeted: input.times, attempt, stage, aborted: signal.aborted }
  },
})

it('gives run the checked input and the rest of the context', async () => {
  const { context, lines } = stageContext({ who: 'ada', times: '3' }, { attempt: 2 })
  expect(await greet.run(context)).toEqual({ greeted: 3, attempt: 2, stage: 'build', aborted: false })
  expect(lines).toEqual([{ stream: 'stdout', text: 'hello ada' }])
})

it('refuses input by naming members, never their values', async () => {
  const { context } = stageContext({ who: '', times: 'canary' })
  const error = await stageFailure(greet.run(context))
  expect(error).toMatchObject({ code: 'INPUT_INVALID', retryable: false })
  expect(error.message).toMatch(/who: .*times: /)
  expect(error.message).not.toContain('canary')
})

it('lets a handler of few words return nothing', async () => {
  const quiet = defineHandler({ name: 'quiet', input: z.object({}), run: () => undefined })
  expect(await quiet.run(stageContext({}).context)).toBeUndefined()
})

it.each(['', 'Greet', '9lives', 'a b', 'a'.repeat(64)])('refuses the name %j', (name) => {
  expect(() => defineHandler({ name, input: z.object({}), run: async () => null })).toThrow(TypeError)
})

it('keeps the version, which workers show', () => {
  const versioned = defineHandler({ name: 'own', version: '2.1.0', input: z.object({}), run: async () => null })
  expect(versioned.version).toBe('2.1.0')
  expect(greet).not.toHaveProperty('version')
})

it('takes every name that a stage can use', () => {
  const name = 'a'.repeat(63)
  expect(defineHandler({ name, input: z.object({}), run: async () => null }).name).toBe(name)
  expect(faultsOf(workflow({ a: { uses: name } }))).toEqual([])
  expect(faultsOf(workflow({ a: { uses: `${name}a` } }))).toHaveLength(1)
})

it('exports the failure that says what it is', () => {
  expect(new StageFailure({ code: 'QUOTA', message: 'no room' })).toBeInstanceOf(Error)
})
