import { describe, expect, it } from 'vitest'
import type { Json } from '../../src/domain/message.ts'
import { compileGenerated } from '../../src/domain/workflow/compile-generated.ts'
import { stage, workflow } from '../support/executions.ts'

const run = workflow([
  stage('build'),
  stage('other'),
  stage('plan', { needs: ['build'] }),
  stage('plan.early', { parent: 'plan' }),
  stage('plan.inner', { parent: 'plan', needs: ['plan.early'] }),
  stage('build.compensate', { compensates: 'build' }),
])
const compile = (stages: { [id: string]: Json }, parent = 'plan') => compileGenerated(stages, parent, run)
const faults = (stages: { [id: string]: Json }, parent = 'plan') => {
  const compilation = compile(stages, parent)
  return compilation.ok ? [] : compilation.faults.map(({ pointer, message }) => `${pointer} ${message}`)
}

describe('stages that a stage generated', () => {
  it('are compiled like those of a workflow, below their parent', () => {
    const compilation = compile({
      a: { uses: 'shell', with: { run: 'true' }, timeout: '1m' },
      b: { uses: 'http', needs: 'a', with: { url: 'https://example.com' }, retry: { maxAttempts: 2 } },
    })
    expect(compilation).toMatchObject({
      ok: true,
      stages: [
        { id: 'plan.a', parent: 'plan', needs: [], timeoutMs: 60_000, retry: { maxAttempts: 1 } },
        { id: 'plan.b', parent: 'plan', needs: ['plan.a'], timeoutMs: 3_600_000, retry: { maxAttempts: 2 } },
      ],
    })
  })

  it('may name those they need, and what their parent could', () => {
    const uses = (expression: string, needs: string[] = []) => ({
      uses: 'own',
      needs,
      with: { x: `\${{ ${expression} }}` },
    })
    expect(faults({ a: uses('stages.build.output'), b: uses("stages['plan.a'].output", ['a']) })).toEqual([])
    expect(faults({ a: uses("stages['plan.early'].output + stages.build.output") }, 'plan.inner')).toEqual([])
    const notSure = 'need not have ended when this stage starts; add it to `needs`'
    expect(faults({ a: uses('stages.other.output') })).toEqual([`/a/with/x "other" ${notSure}`])
    expect(faults({ a: uses('stages.plan.output') })).toEqual([`/a/with/x "plan" ${notSure}`])
    expect(faults({ a: uses("stages['plan.b'].output"), b: uses('1') })).toEqual([`/a/with/x "plan.b" ${notSure}`])
    expect(faults({ a: uses('stages.b.output', ['b']), b: uses('1') })).toEqual([
      '/a/with/x there is no stage called "b"',
    ])
  })

  it('have every fault said, with pointers into what was generated', () => {
    expect(
      faults({
        a: { uses: 'shell', needs: ['nobody'], with: { run: 'echo ${{ input.x }}' } },
        B: { uses: 'own' },
        c: 7,
        d: { uses: 'wait', with: {} },
        e: { uses: 'own', when: 'matches(' },
      }),
    ).toEqual([
      '/a/needs/0 there is no stage called "nobody"',
      expect.stringMatching(/^\/a\/with\/run a script gets values through its environment alone/),
      expect.stringMatching(/^\/B a stage is named in/),
      expect.stringMatching(/^\/c /),
      expect.stringMatching(/^\/d\/with wait takes either/),
      expect.stringMatching(/^\/e\/when /),
    ])
  })

  it('are none of one that undoes another', () => {
    expect(faults({ a: { uses: 'own' } }, 'build.compensate')).toEqual([
      ' build.compensate undoes another stage, and must do so itself',
    ])
  })
})
