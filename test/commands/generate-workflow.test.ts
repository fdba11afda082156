import fc from 'fast-check'
import { describe, expect, it, test } from 'vitest'
import { compileDocument } from '../../src/commands/compile-document.ts'
import { generateWorkflow as generateAndDescribe } from '../../src/commands/generate-workflow.ts'
import { parseDocument } from '../../src/commands/parse-document.ts'
import { writeYaml } from '../../src/commands/write-yaml.ts'
import { createGraph } from '../../src/domain/execution/graph.ts'
import type { Json } from '../../src/domain/message.ts'
import { generateWorkflow, templates } from '../../src/domain/workflow/generate.ts'
import { type Project, projectSchema, targetNames } from '../../src/domain/workflow/project.ts'
import { commandNames, gates } from '../../src/domain/workflow/templates/languages.ts'
import { fillStage } from '../../src/domain/workflow/templates/template.ts'
import { MAX_APPEND_BYTES } from '../../src/ports/event-store.ts'
import { descriptions, templateScripts } from '../support/projects.ts'

type Stage = { uses: string; needs?: string[]; with?: { run?: string; [member: string]: Json | undefined } }
const stagesOf = ({ stages }: { [member: string]: Json }) => stages as unknown as { [id: string]: Stage }
const parsed = (description: object): Project => projectSchema.parse(description)
const needsOf = (description: object) =>
  Object.entries(stagesOf(generateWorkflow(parsed(description)).document)).map(([id, { needs = [] }]) => [id, ...needs])

const forEvery = (approving: boolean, check: (project: Project, description: object) => void): void =>
  fc.assert(
    fc.property(descriptions({ approving }), (description) => check(parsed(description), description)),
    { numRuns: 500 },
  )

describe('whatever is described', () => {
  it('gives a document that compiles, with every template seen', () => {
    const seen = new Set<string>()
    forEvery(true, (project) => {
      const { document, explanations } = generateWorkflow(project)
      const compilation = compileDocument(document)
      expect(compilation.ok ? [] : compilation.faults).toEqual([])
      for (const { template } of explanations) seen.add(template)
    })
    const expected = templates.map(({ name }) => name)
    expect([...seen].sort()).toEqual(expected.sort())
  })

  it('is explained stage by stage, and is the same each time', () => {
    forEvery(true, (project, description) => {
      const generated = generateWorkflow(project)
      expect(generated.explanations.map(({ stage }) => stage)).toEqual(Object.keys(stagesOf(generated.document)))
      for (const { why } of generated.explanations) expect(why).toMatch(/^[A-Z][^<>]+\.$/)
      const again = generateWorkflow(parsed(structuredClone(description)))
      expect(JSON.stringify(again)).toBe(JSON.stringify(generated))
    })
  })

  it('is the same document as YAML', () => {
    forEvery(true, (project) => {
      const { document } = generateWorkflow(project)
      expect(parseDocument(writeYaml(document), 'yaml').value).toEqual(document)
    })
  })

  it('runs scripts of the templates and commands of the caller, and nothing made of both', () => {
    forEvery(true, (project) => {
      const own = [
        ...project.languages.flatMap(({ commands }) => Object.values(commands)),
        ...project.environments.map(({ command }) => command),
      ]
      const scripts = Object.values(stagesOf(generateWorkflow(project).document)).map((stage) => stage.with?.run)
      for (const script of scripts) expect([undefined, ...templateScripts, ...own]).toContain(script)
    })
  })

  it('has a stage or an omission for every gate of every language, and no deployment before one of them', () => {
    let deployments = 0
    forEvery(true, (project) => {
      const { document, omissions } = generateWorkflow(project)
      const stages = stagesOf(document)
      const graph = createGraph(Object.entries(stages).map(([id, { needs = [] }]) => ({ id, needs })))
      const wanted = project.gates.flatMap((gate) => project.languages.map(({ name }) => `${gate}-${name}`))
      const left = new Set(omissions.map(({ stage }) => stage))
      for (const gate of wanted) expect(Object.hasOwn(stages, gate)).toBe(!left.has(gate))
      for (const [at, { name }] of project.environments.entries()) {
        deployments++
        const before = [...wanted.filter((gate) => !left.has(gate)), 'checkout']
        if (at > 0) before.push(`deploy-${project.environments[at - 1]?.name}`)
        for (const id of before) expect(graph.isAncestor(id, `deploy-${name}`)).toBe(true)
      }
    })
    expect(deployments).toBeGreaterThan(300)
  })
})

test('the largest description there can be gives a file that can be registered', () => {
  const command = 'é\n'.repeat(1_024)
  const commands = Object.fromEntries(commandNames.map((name) => [name, command]))
  const parts = Array.from({ length: 8 }, (_, at) => ({
    language: 'go',
    name: `part-${at}`,
    path: `${at}`,
    version: '1',
    commands,
  }))
  const environments = Array.from({ length: 5 }, (_, at) => ({
    name: `place-${at}`,
    command,
    settle: '1s',
    url: 'https://a.example',
  }))
  const description = { name: 'large', languages: parts, gates: [...gates], targets: [...targetNames], environments }
  const { document, yaml, summary } = generateAndDescribe(parsed(description))
  expect(summary.stages).toBe(1 + 8 * 9 + 3 + 5 * 3)
  expect(parseDocument(yaml, 'yaml').value).toEqual(document)
  // A registration records the document and what it compiles to.
  expect(2 * Buffer.byteLength(JSON.stringify(document))).toBeLessThan(MAX_APPEND_BYTES)
})

test('a slot is filled as a whole, a text with one in it stays, and one without a value leaves the template out', () => {
  const template = { name: 'a', phase: 'build', of: 'project', id: 'a', why: 'Because.' } as const
  const filled = (run: string) =>
    fillStage({ ...template, stage: { uses: 'shell', with: { run } } }, { a: '<b>', b: 'x' })
  expect(filled('<a>')).toEqual({ uses: 'shell', with: { run: '<b>' } })
  expect(filled('echo <b>')).toEqual({ uses: 'shell', with: { run: 'echo <b>' } })
  expect(filled('<c>')).toBeUndefined()
})

describe('a composition', () => {
  test('languages go side by side and are joined where all of them are needed', () => {
    const description = { name: 'shop', languages: ['node', 'go'], gates: ['lint'], targets: ['archive', 'package'] }
    expect(needsOf({ ...description, environments: [{ name: 'live', url: 'https://shop.example.com' }] })).toEqual([
      ['checkout'],
      ['prepare-node', 'checkout'],
      ['prepare-go', 'checkout'],
      ['build-node', 'prepare-node'],
      ['build-go', 'prepare-go'],
      ['lint-node', 'build-node'],
      ['lint-go', 'build-go'],
      ['package-node', 'lint-node'],
      ['package-go', 'lint-go'],
      ['archive', 'lint-node', 'lint-go'],
      ['deploy-live', 'package-node', 'package-go', 'archive'],
      ['verify-live', 'deploy-live'],
    ])
  })

  test('what was packed reaches the deployment, and how it all ended the report', () => {
    const { document } = generateWorkflow(
      parsed({
        name: 'shop',
        languages: ['node'],
        targets: ['container'],
        environments: [{ name: 'live', command: './ship' }],
        notify: { url: 'https://hooks.example.com/x' },
      }),
    )
    expect(stagesOf(document)).toMatchObject({
      'deploy-live': {
        with: { run: './ship', env: { ENVIRONMENT: 'live', IMAGE: '${{ stages.image.output.image }}' } },
      },
      notify: {
        trigger: 'all-done',
        with: { body: { stages: { 'deploy-live': "${{ stages['deploy-live'].status }}" } } },
      },
    })
  })

  test('the caller’s command takes the place of the language’s, in the folder of the part', () => {
    const shell = { language: 'shell', name: 'ops', path: 'deploy/ops', commands: { coverage: 'kcov' } }
    const { document, omissions } = generateWorkflow(
      parsed({ name: 'shop', languages: [shell, 'java'], gates: ['coverage'], minimumCoverage: 91 }),
    )
    expect(stagesOf(document)['coverage-ops']).toMatchObject({
      with: { run: 'kcov', cwd: 'project/deploy/ops', env: { MINIMUM: 91 } },
    })
    expect(omissions).toEqual([{ stage: 'coverage-java', why: expect.stringContaining('coverage of java') }])
  })

  test('an approval stands before its deployment and after the environment before', () => {
    const { document } = generateWorkflow(
      parsed({
        name: 'shop',
        languages: ['node'],
        environments: [{ name: 'test' }, { name: 'live', approval: { approvers: ['ops'] } }],
      }),
    )
    const stages = stagesOf(document)
    const { uses, needs, with: given } = stages['approve-live']!
    expect({ uses, needs, with: given }).toEqual({
      uses: 'approval',
      needs: ['deploy-test'],
      with: { approvers: ['ops'], timeout: '4h' },
    })
    expect(stages['deploy-live']?.needs).toEqual(['approve-live'])
    expect(compileDocument(document).ok).toBe(true)
  })
})
