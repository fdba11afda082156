// The workflows in the documents: each can be registered, and those that say so run to the end that they say.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { scenarioOfFile } from '../support/scenario.ts'

const scenario = await scenarioOfFile()

// The pool that the pages speak of.
await scenario.server.inject({
  method: 'PUT',
  url: '/v1/default/pools/production',
  payload: { slots: 4, cpu: 4, memory: '8Gi' },
})

const root = join(import.meta.dirname, '../..')
const documents = ['README.md', ...readdirSync(join(root, 'docs')).map((name) => `docs/${name}`)].filter((path) =>
  path.endsWith('.md'),
)

/** What is fenced as YAML, or written to a `.yaml` file in a shell, and is a whole workflow. */
const workflows = documents.flatMap((path) => {
  const text = readFileSync(join(root, path), 'utf8')
  const fenced = [...text.matchAll(/^```yaml(.*)\n([\s\S]*?)^```$/gm)].map(([, how = '', yaml = '']) => ({ how, yaml }))
  const written = [...text.matchAll(/^cat > \S+\.yaml <<'END'\n([\s\S]*?)^END$/gm)].map(([, yaml = '']) => ({
    how: '',
    yaml,
  }))
  return [...fenced, ...written]
    .filter(({ yaml }) => /^name:/m.test(yaml) && /^stages:/m.test(yaml))
    .map(({ how, yaml }) => ({ path, name: /^name: *(\S+)/m.exec(yaml)![1]!, how: how.trim(), yaml }))
})

test('there are such workflows, and no two share a name', () => {
  const names = workflows.map(({ name }) => name)
  expect(names.length).toBeGreaterThan(8)
  expect(new Set(names).size).toBe(names.length)
})

test.each(workflows)('$name in $path', async ({ how, yaml }) => {
  expect(['', 'run', 'run failed']).toContain(how)
  if (how === '') return void (await scenario.register(yaml))
  const run = await scenario.run(yaml)
  expect(await run.end()).toBe(how === 'run' ? 'ExecutionCompleted' : 'ExecutionFailed')
})

test('what the page on restoring says of its example is so', async () => {
  const run = await scenario.run(workflows.find(({ name }) => name === 'restore-demo')!.yaml)
  await run.end()
  const stages = { deploy: { with: { run: 'true' } } }
  const next = scenario.runOf(await run.post('restore', { overrides: { stages } }))
  expect(await next.end()).toBe('ExecutionCompleted')
  expect((await next.data('StageScheduled')).map(({ stage }) => stage)).toEqual(['deploy', 'verify'])
})

test('what the page on control says of its examples is so', async () => {
  const documentOf = (name: string) => workflows.find((workflow) => workflow.name === name)!.yaml
  const asks = await scenario.run(documentOf('approval-demo'))
  await asks.until('ask 1 StageScheduled')
  for (const who of ['bob', 'cy']) await asks.post('stages/ask/approve', {}, { 'millrace-actor': who })
  expect(await asks.end()).toBe('ExecutionCompleted')
  expect((await asks.state()).stages.ask?.output).toEqual({ approvedBy: ['user:bob', 'user:cy'] })
  const listens = await scenario.run(documentOf('signal-demo'))
  await listens.post('signals/deployed', { host: 'a1' })
  expect(await listens.end()).toBe('ExecutionCompleted')
})

test('what the page on graphs says of its examples is so', async () => {
  const run = async (name: string) => {
    const started = await scenario.run(workflows.find((workflow) => workflow.name === name)!.yaml)
    await started.end()
    return started
  }
  const output = (await (await run('matrix-demo')).state()).stages.test!.output as { output: string }[]
  expect(output.map((one) => one.output)).toEqual(['unit on 20', 'unit on 22', 'e2e on 20', 'e2e on 22'])
  expect(await (await run('dynamic-demo')).statuses()).toMatchObject({
    'build.api': 'completed',
    'build.web': 'completed',
  })
  const shared = await run('shared-demo')
  expect(await shared.data('ExecutionCompleted')).toEqual([{ stages: 1, output: { image: 'app-eu-gold' } }])
  const undone = await run('compensate-demo')
  expect(await undone.statuses()).toMatchObject({ tell: 'completed', 'database.compensate': 'completed' })
  const logs = await undone.get('stages/database.compensate/logs', { accept: 'text/plain' })
  expect(logs.body).toBe('removing database 7\n')
})
