import { describe, expect, test } from 'vitest'
import { compiled, onlyStage, shell, workflow } from '../support/documents.ts'

describe('compiling', () => {
  test('fills every default in', () => {
    expect(compiled(workflow({ build: shell() }))).toEqual({
      ok: true,
      definition: {
        name: 'release',
        timeoutMs: 86_400_000,
        onFailure: 'fail-fast',
        stages: [
          {
            id: 'build',
            uses: 'shell',
            queue: 'default',
            needs: [],
            trigger: 'all-success',
            with: { run: 'make' },
            retry: {
              maxAttempts: 1,
              backoff: { type: 'exponential', initialMs: 1_000, maxMs: 60_000, jitter: 0.2 },
            },
            timeoutMs: 3_600_000,
          },
        ],
      },
    })
  })
  test('keeps what a document says', () => {
    const { definition, inputSchema } = compiled({
      name: 'release',
      description: 'Ships it',
      input: { type: 'object' },
      timeout: '2h',
      onFailure: 'continue',
      stages: {
        build: shell({ queue: 'linux', timeout: '10m' }),
        tell: {
          uses: 'http',
          needs: ['build'],
          trigger: 'all-done',
          when: "stages.build.status == 'completed'",
          with: {
            url: 'https://example.com/${{ input.path }}',
            method: 'POST',
            body: { ok: true },
            expect: [200, 201],
          },
        },
        'migrate-them': { uses: 'migrate-tables', needs: 'tell', with: { tables: ['a'] } },
      },
    })
    expect(inputSchema).toEqual({ type: 'object' })
    expect(definition).toMatchObject({ timeoutMs: 7_200_000, onFailure: 'continue' })
    expect(definition.stages.map(({ id }) => id)).toEqual(['build', 'tell', 'migrate-them'])
    expect(definition.stages[0]).toMatchObject({ queue: 'linux', timeoutMs: 600_000 })
    expect(definition.stages[1]).toMatchObject({ trigger: 'all-done', when: "stages.build.status == 'completed'" })
    expect(definition.stages[2]).toMatchObject({ needs: ['tell'], with: { tables: ['a'] } })
  })
  test('takes from the workflow what a stage does not say about retries', () => {
    const retry = { maxAttempts: 3, backoff: { type: 'fixed', initial: '2s', max: '5s', jitter: 0 } }
    const [own, shared] = compiled(workflow({ own: shell({ retry: { maxAttempts: 5 } }), shared: shell() }, { retry }))
      .definition.stages
    const backoff = { type: 'fixed', initialMs: 2_000, maxMs: 5_000, jitter: 0 }
    expect(own?.retry).toEqual({ maxAttempts: 5, backoff })
    expect(shared?.retry).toEqual({ maxAttempts: 3, backoff })
  })
  test('a first pause above the default limit raises the limit', () => {
    expect(onlyStage(shell({ retry: { maxAttempts: 2, backoff: { initial: '5m' } } })).retry.backoff.maxMs).toBe(
      300_000,
    )
  })
  test('a wait is not cut short by the default timeout', () => {
    expect(onlyStage({ uses: 'wait', with: { duration: '2h' } }).timeoutMs).toBe(86_400_000)
  })
  test.each([
    ['true', 'true'],
    ['${{ input.x == 1 }}', 'input.x == 1'],
    [' ${{ true }} ', 'true'],
    [false, 'false'],
  ])('`when: %s` is the condition %s', (when, condition) => {
    expect(onlyStage(shell({ when })).when).toBe(condition)
  })
  test.each([
    [{ duration: '10s' }],
    [{ duration: '${{ input.pause }}' }],
    [{ until: '2030-01-31T18:00:00Z' }],
    [{ until: '2030-01-31T18:00+02:00' }],
    [{ until: '${{ input.at }}' }],
  ])('wait takes %j', (given) => {
    expect(onlyStage({ uses: 'wait', with: given }).with).toEqual(given)
  })
  test.each([
    ['500ms', 500],
    ['10s', 10_000],
    ['5m', 300_000],
    ['1.5h', 5_400_000],
    ['1d', 86_400_000],
  ])('a timeout of %s is %i ms', (timeout, ms) => {
    expect(onlyStage(shell({ timeout })).timeoutMs).toBe(ms)
  })
})
