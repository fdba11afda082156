// Every stage of examples/release.yaml with the real shell handler, in the order of the document.
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { parse } from 'yaml'
import type { Json } from '../../src/domain/message.ts'
import { createShellHandler } from '../../src/workers/handlers/shell.ts'
import { stageContext } from '../support/stage-context.ts'

type Scope = { [key: string]: Json }
type Stage = { uses: string; with: { run: string; cwd?: string; env?: { [name: string]: string } } }

const examples = join(import.meta.dirname, '../../examples')
const workflow = parse(readFileSync(join(examples, 'release.yaml'), 'utf8')) as { stages: { [id: string]: Stage } }
let workDir: string
beforeAll(() => {
  workDir = mkdtempSync(join(tmpdir(), 'millrace-example-'))
})
afterAll(() => rmSync(workDir, { recursive: true, force: true }))

/** Paths through members, which is all that the example's expressions are. */
const resolve = (text: string, scope: Scope): string =>
  text.replaceAll(/\$\{\{ ([\w.]+) \}\}/g, (_, path: string) =>
    String(path.split('.').reduce<Json | undefined>((value, key) => (value as Scope | undefined)?.[key], scope)),
  )

it('builds, tests, packages and publishes the example', async () => {
  const shell = createShellHandler({ workDir, instance: 'example', environment: process.env })
  const stages: { [id: string]: Json } = {}
  const scope: Scope = { input: { source: join(examples, 'project') }, stages }
  const logs: string[] = []
  for (const [stage, { uses, with: given }] of Object.entries(workflow.stages)) {
    if (uses !== 'shell') continue
    const env = Object.fromEntries(Object.entries(given.env ?? {}).map(([name, text]) => [name, resolve(text, scope)]))
    const run = (attempt: number) => {
      const { context, lines } = stageContext({ ...given, env }, { stage, attempt })
      return shell.run(context).finally(() => logs.push(...lines.map((line) => line.text)))
    }
    if (stage === 'environment')
      await expect(run(1)).rejects.toMatchObject({ error: { code: 'EXIT_NONZERO', exitCode: 75 } })
    stages[stage] = { output: (await run(2)) ?? null }
  }
  expect(stages.package).toMatchObject({
    output: { artifact: 'tally-1.4.0.tar.gz', sha256: expect.stringMatching(/^[0-9a-f]{64}$/), files: 6 },
  })
  expect(stages.publish).toEqual({ output: { published: 'published/tally-1.4.0.tar.gz' } })
  const workspace = join(workDir, stageContext({}).context.executionId)
  expect(existsSync(join(workspace, 'published/tally-1.4.0.tar.gz'))).toBe(true)
  expect(logs).toContain('project/tally-1.4.0.tar.gz: OK')
})
