import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { CompiledStage, CompiledWorkflow } from '../../src/domain/workflow/definition.ts'
import { adviseOn, MIN_RUNS } from '../../src/queries/advice/advice.ts'
import type { Finding, FindingOf } from '../../src/queries/advice/findings.ts'
import { stage, workflow } from '../support/executions.ts'
import { type AttemptPlan, type RunPlan, recordedRuns } from '../support/recorded-runs.ts'

const SECOND = 1_000
const MINUTE = 60_000
const one = (overrides: Partial<CompiledStage> = {}) => workflow([stage('build', overrides)])

const findings = (definition: CompiledWorkflow, count: number, planOf?: (at: number) => RunPlan): readonly Finding[] =>
  adviseOn(1, definition, recordedRuns(definition, count, planOf)).findings
function only<Kind extends Finding['kind']>(kind: Kind, all: readonly Finding[]): FindingOf<Kind> {
  expect(all.map((finding) => finding.kind)).toEqual([kind])
  return all[0] as FindingOf<Kind>
}
/** `some` in the first runs, an attempt of a second in the others. */
const inFirst =
  (count: number, ...some: AttemptPlan[]) =>
  (at: number): RunPlan => ({ build: at < count ? some : [{ workMs: SECOND }] })

describe('the answer', () => {
  test('says what it is about', () => {
    const runs = recordedRuns(one(), 25)
    expect(adviseOn(7, one(), runs)).toEqual({
      workflow: 'release',
      version: 7,
      runs: 25,
      from: '2026-01-04T09:00:00.000Z',
      to: '2026-01-05T09:00:00.000Z',
      criticalPath: expect.objectContaining({ path: ['build'], p50Ms: SECOND }),
      findings: [expect.objectContaining({ kind: 'timeout-too-long' })],
    })
  })

  test('has no findings over too few runs, and says so', () => {
    expect(adviseOn(1, one(), [])).toEqual({
      workflow: 'release',
      version: 1,
      runs: 0,
      findings: [],
      note: 'Findings take at least 20 ended runs of this version; so far there are 0.',
    })
    const few = adviseOn(1, one(), recordedRuns(one(), MIN_RUNS - 1))
    expect(few).toMatchObject({ findings: [], note: expect.stringContaining('19'), criticalPath: { runs: 19 } })
  })

  test('puts what has cost something first', () => {
    const two = workflow([stage('quick'), stage('queued', { queue: 'heavy' })])
    const all = findings(two, 20, () => ({ queued: [{ workMs: SECOND, waitMs: 5 * SECOND }] }))
    expect(all.map(({ kind, stage, severity }) => [kind, stage, severity])).toEqual([
      ['queue-wait', 'queued', 'warning'],
      ['timeout-too-long', 'quick', 'info'],
      ['timeout-too-long', 'queued', 'info'],
    ])
  })
})

describe('timeouts', () => {
  test('too long: ten times the longest attempt that completed', () => {
    const { severity, evidence, message } = only('timeout-too-long', findings(one({ timeoutMs: MINUTE }), 20))
    expect(severity).toBe('info')
    expect(evidence).toEqual({
      attempts: 20,
      timedOut: 0,
      p95Ms: SECOND,
      longestMs: SECOND,
      timeoutMs: MINUTE,
      enoughMs: 3 * SECOND,
    })
    expect(message).toContain('took 1 s; its timeout is 1 min')
    expect(findings(one({ timeoutMs: MINUTE - 1 }), 20)).toEqual([])
    expect(findings(one({ timeoutMs: MINUTE }), 20, inFirst(1, { workMs: 6_001 }))).toEqual([])
  })

  test('too long is a warning where some hung for the whole of it', () => {
    const hung = inFirst(1, { workMs: MINUTE, fails: 'timeout' })
    const finding = only('timeout-too-long', findings(one({ timeoutMs: MINUTE }), 21, hung))
    expect(finding).toMatchObject({ severity: 'warning', evidence: { attempts: 20, timedOut: 1 } })
  })

  test('too short: many end at it and the others come close', () => {
    const definition = one({ timeoutMs: 10 * SECOND })
    const plan = (hung: number, workMs: number) => (at: number) => ({
      build: [at < hung ? ({ workMs: 10 * SECOND, fails: 'timeout' } as const) : { workMs }],
    })
    const finding = only('timeout-too-short', findings(definition, 40, plan(8, 8 * SECOND)))
    expect(finding.evidence).toEqual({
      attempts: 40,
      timedOut: 8,
      rate: 0.2,
      rateAtLeast: 0.105,
      p95Ms: 8 * SECOND,
      timeoutMs: 10 * SECOND,
    })
    expect(findings(definition, 40, plan(8, 7 * SECOND))).toEqual([])
    expect(findings(definition, 40, plan(4, 8 * SECOND))).toEqual([])
  })

  test('of another kind than the timeout of the stage are not counted', () => {
    const refused = inFirst(10, { workMs: SECOND, fails: 'timeout' })
    const finding = only('timeout-too-long', findings(one({ timeoutMs: MINUTE }), 40, refused))
    expect(finding.evidence.timedOut).toBe(0)
  })

  test('of stages that a clock or a person ends are left alone', () => {
    expect(findings(one({ uses: 'wait' }), 20, () => ({ build: [{ workMs: 1, waitMs: MINUTE }] }))).toEqual([])
  })
})

describe('retries', () => {
  const quick = one({ timeoutMs: 10 * SECOND })
  const failing = (fails: AttemptPlan['fails'], workMs = SECOND) => ({ workMs, fails: fails! })

  test('never help: no run with a failure of the class came to completion', () => {
    const thrice = inFirst(12, failing('configuration'), failing('configuration'), failing('configuration'))
    const finding = only('retry-never-helps', findings(quick, 20, thrice))
    // Two retries in each run, each a second after a second's pause.
    const spentMs = 12 * 2 * 2 * SECOND
    expect(finding.evidence).toEqual({ class: 'configuration', runs: 12, retries: 24, helped: 0, spentMs })
    expect(finding.suggestion).toContain('maxAttempts')
  })

  test('that helped once, or were seen too seldom, are no finding', () => {
    const twice = [failing('configuration'), failing('configuration')]
    expect(findings(quick, 20, inFirst(11, ...twice))).toEqual([])
    const helpedOnce = (at: number): RunPlan =>
      at === 0 ? { build: [failing('configuration'), { workMs: SECOND }] } : inFirst(13, ...twice)(at)
    expect(findings(quick, 200, helpedOnce)).toEqual([])
  })

  test('that help after other failures are kept', () => {
    const both = (at: number): RunPlan => {
      if (at < 12) return { build: [failing('authentication'), failing('authentication')] }
      return { build: at < 14 ? [failing('network'), { workMs: SECOND }] : [{ workMs: SECOND }] }
    }
    const finding = only('retry-never-helps', findings(quick, 200, both))
    expect(finding).toMatchObject({ evidence: { class: 'authentication' } })
    expect(finding.suggestion).toContain('retryable: false')
  })

  test('flaky: failed, then completed, in the same run', () => {
    const definition = quick
    const finding = only('flaky', findings(definition, 40, inFirst(10, failing('network'), { workMs: SECOND })))
    expect(finding.severity).toBe('warning')
    expect(finding.evidence).toEqual({
      runs: 40,
      flakyRuns: 10,
      rate: 0.25,
      rateAtLeast: 0.142,
      classes: { network: 10 },
    })
    expect(finding.message).toContain('10 of 40 runs; allowing for chance, in at least 14.2 %')
    const seldom = only('flaky', findings(definition, 200, inFirst(8, failing('network'), { workMs: SECOND })))
    expect(seldom.severity).toBe('info')
    expect(findings(definition, 200, inFirst(7, failing('network'), { workMs: SECOND }))).toEqual([])
  })

  test('an attempt that its worker lost is neither', () => {
    expect(findings(quick, 40, inFirst(40, failing('lost'), { workMs: SECOND }))).toEqual([])
    expect(findings(quick, 40, inFirst(40, failing('unknown'), failing('lost')))).toEqual([])
    expect(findings(quick, 40, inFirst(40, failing('network'), failing('lost'), failing('network')))).toEqual([])
  })
})

describe('queue waits', () => {
  const quick = one({ timeoutMs: 10 * SECOND, queue: 'heavy' })
  const waiting = (waitMs: number, often: number) => inFirst(often, { workMs: SECOND, waitMs })

  test('are told of when one in twenty is long beside the work', () => {
    const finding = only('queue-wait', findings(quick, 40, waiting(3 * SECOND, 3)))
    expect(finding.evidence).toEqual({
      queue: 'heavy',
      attempts: 40,
      waitP50Ms: 0,
      waitP95Ms: 3 * SECOND,
      workP50Ms: SECOND,
    })
    expect(findings(quick, 40, waiting(3 * SECOND, 2))).toEqual([])
    expect(findings(quick, 40, waiting(SECOND - 1, 40))).toEqual([])
  })

  test('that are short beside the work are none', () => {
    const long = (waitMs: number) => () => ({ build: [{ workMs: 4 * SECOND, waitMs }] })
    expect(findings(quick, 40, long(2 * SECOND - 1))).toEqual([])
    only('queue-wait', findings(quick, 40, long(2 * SECOND)))
  })
})

describe('stages that could stand side by side', () => {
  const short = { timeoutMs: 10 * SECOND }
  const chain = (test: Partial<CompiledStage> = {}, lint: Partial<CompiledStage> = {}) =>
    workflow([
      stage('build', short),
      stage('lint', { ...short, needs: ['build'], ...lint }),
      stage('test', { ...short, needs: ['lint'], ...test }),
      stage('ship', { ...short, needs: ['test'], with: { of: '${{ stages.test.output }}' }, uses: 'http' }),
    ])
  const plan = (): RunPlan => ({ lint: [{ workMs: 3 * SECOND }], test: [{ workMs: 5 * SECOND }] })
  const uses = (text: string) => ({ with: { env: { A: text } } })
  const fromBuild = uses('${{ stages.build.output.path }}')

  test('are those that read nothing of each other; what comes after still waits for both', () => {
    const all = findings(chain(fromBuild, fromBuild), 20, plan)
    const finding = only('parallelisable', all)
    expect(finding).toMatchObject({ stage: 'test', severity: 'info' })
    // Build and ship take a second each; three seconds of linting fit beside five of testing.
    const times = { pathMs: 10 * SECOND, sideBySideMs: 7 * SECOND, savedMs: 3 * SECOND }
    expect(finding.evidence).toEqual({ need: 'lint', runs: 20, ...times, sameDirectory: true })
    expect(finding.message).toContain('could shorten the critical path from 10 s to 7 s')
    expect(finding.suggestion).toContain('nor files that lint leaves in the working directory')
    expect(finding.suggestion).toContain('let it need build in place of lint, and let ship need both')
    // Now it is linting that ship waits for.
    const swapped = findings(chain(fromBuild, fromBuild), 20, () => ({
      lint: [{ workMs: 6 * SECOND }],
      test: [{ workMs: 3 * SECOND }],
    }))
    expect(only('parallelisable', swapped).evidence).toMatchObject({ sideBySideMs: 8 * SECOND, savedMs: 3 * SECOND })
  })

  test.each<[string, Partial<CompiledStage>]>([
    ['its values read the need', uses('${{ stages.lint.output.n }}')],
    ['its condition does', { when: "stages.lint.status == 'completed'" }],
    ['a computed key may', uses('${{ stages[input.which].output }}')],
    ['a macro may', uses('${{ stages.exists(id, stages[id].status == "failed") }}')],
    ['all stages go somewhere', { when: 'size(stages) > 1' }],
    ['it is about how the need ended', { trigger: 'all-done' }],
    ['it is a pause', { uses: 'wait' }],
    ['it is an approval', { uses: 'approval' }],
    ['it tells what happened', { uses: 'notify' }],
  ])('are not two of which %s', (_, second) => {
    const kinds = findings(chain(second, fromBuild), 20, plan).filter(({ stage }) => stage === 'test')
    expect(kinds).toEqual([])
  })

  test('are not two where what comes before or after is about how one of them ended', () => {
    const { stages } = chain(fromBuild, fromBuild)
    const withTrigger = (id: string, trigger: CompiledStage['trigger']) =>
      workflow(stages.map((one) => (one.id === id ? { ...one, trigger } : one)))
    expect(findings(withTrigger('lint', 'all-done'), 20, plan)).toEqual([])
    expect(findings(withTrigger('ship', 'any-success'), 20, plan)).toEqual([])
    only('parallelisable', findings(withTrigger('ship', 'all-done'), 20, plan))
  })

  test('are not offered for less than a twentieth of the path, nor for less than a second', () => {
    const withLint = (workMs: number, testMs: number) => () => ({ lint: [{ workMs }], test: [{ workMs: testMs }] })
    const limited = chain({ timeoutMs: MINUTE }, fromBuild)
    expect(findings(limited, 20, withLint(SECOND - 1, 7 * SECOND))).toEqual([])
    expect(findings(limited, 20, withLint(2 * SECOND, 37 * SECOND))).toEqual([])
    only('parallelisable', findings(limited, 20, withLint(3 * SECOND, 37 * SECOND)))
  })

  test('are not offered on the word of a few runs that completed', () => {
    const withFailures = (at: number): RunPlan =>
      at < 20 ? { ...plan(), ship: [{ workMs: SECOND, fails: 'unknown' }] } : plan()
    expect(findings(chain(fromBuild, fromBuild), 39, withFailures)).toEqual([])
    only('parallelisable', findings(chain(fromBuild, fromBuild), 40, withFailures))
  })

  test('are not offered where another chain takes as long', () => {
    const definition = chain(fromBuild, fromBuild)
    const beside = workflow([
      ...definition.stages.map((one) => (one.id === 'ship' ? { ...one, needs: ['test', 'scan'] } : one)),
      stage('scan', { ...short, needs: ['build'], ...fromBuild }),
    ])
    expect(findings(beside, 20, () => ({ ...plan(), scan: [{ workMs: 8 * SECOND }] }))).toEqual([])
  })
})

test('no finding is without evidence, whatever the runs were', () => {
  const fails = fc.constantFrom('timeout', 'network', 'unknown', 'lost', undefined)
  const attempt = fc
    .record({ workMs: fc.nat(MINUTE), waitMs: fc.nat(5 * SECOND), fails })
    .map(({ fails, ...times }): AttemptPlan => (fails ? { ...times, fails } : times))
  const attempts = fc.array(attempt, { minLength: 1, maxLength: 3 })
  const plan = fc.record({ build: attempts, test: attempts })
  const definition = workflow([stage('build'), stage('test', { needs: ['build'] })])
  const few = { 'retry-never-helps': 12 } as { readonly [kind: string]: number }
  let seen = 0
  fc.assert(
    fc.property(fc.array(plan, { minLength: 1, maxLength: 4 }), fc.integer({ min: 1, max: 60 }), (plans, count) => {
      const advice = adviseOn(
        1,
        definition,
        recordedRuns(definition, count, (at) => plans[at % plans.length]!),
      )
      if (count < MIN_RUNS) expect(advice.findings).toEqual([])
      seen += advice.findings.length
      for (const { kind, stage, evidence, message, suggestion } of advice.findings) {
        const numbers = Object.values(evidence).filter((value) => typeof value === 'number')
        expect(numbers.every((value) => Number.isFinite(value) && value >= 0)).toBe(true)
        const count = 'runs' in evidence ? evidence.runs : evidence.attempts
        expect(count, kind).toBeGreaterThanOrEqual(few[kind] ?? 20)
        expect(message).toContain(stage)
        expect(suggestion).not.toBe('')
      }
    }),
  )
  expect(seen).toBeGreaterThan(0)
})
