import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import type { RequestListener } from 'node:http'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, type TestContext, test } from 'vitest'
import { generatedSchema } from '../../src/api/answers.ts'
import { createHttpHandler } from '../../src/workers/handlers/http.ts'
import { createShellHandler } from '../../src/workers/handlers/shell.ts'
import { type Built, build } from '../support/build.ts'
import { serve } from '../support/http-stage.ts'
import { startTestPostgres, type TestPostgres } from '../support/postgres.ts'
import { expectProblem } from '../support/problems.ts'
import { templateScripts } from '../support/projects.ts'

let postgres: TestPostgres
let built: Built
let close: () => Promise<void>
let folder: string
beforeAll(async () => {
  postgres = await startTestPostgres()
  folder = await mkdtemp(join(tmpdir(), 'millrace-generate-'))
  // The Node that a stage finds is the one that runs this, whatever the host has besides.
  const environment = { ...process.env, PATH: `${dirname(process.execPath)}:${process.env.PATH}` }
  const shell = { workDir: join(folder, 'work'), instance: 'generate', environment }
  const handlers = [createShellHandler(shell), createHttpHandler({ allowPrivate: true })]
  built = await build({ onTestFinished: (stop) => (close = stop) }, postgres, { handlers })
})
afterAll(async () => {
  await close()
  await postgres.stop()
  await rm(folder, { recursive: true, force: true })
})

const URL = '/v1/default/workflows/generate'
const post = (url: string, payload: object) => built.server.inject({ method: 'POST', url, payload })

async function generated(description: object) {
  const response = await post(URL, description)
  expect(response.statusCode, response.body).toBe(200)
  return generatedSchema.strict().parse(response.json())
}

/** Registers the YAML that was generated and runs it to its end; answers the run and how its stages ended. */
async function run(yaml: string, name: string, input: object) {
  const headers = { 'content-type': 'application/yaml' }
  const put = await built.server.inject({ method: 'PUT', url: `/v1/default/workflows/${name}`, payload: yaml, headers })
  expect(put.statusCode, put.body).toBe(201)
  const started = await post('/v1/default/executions', { workflow: name, input })
  expect(started.statusCode, started.body).toBe(202)
  const { id } = started.json<{ id: string }>()
  await built.ended(id)
  return { id, ...(await built.server.inject(`/v1/default/executions/${id}/state`)).json() }
}

/** A project of a shell script and a Node program, whose checks are real and small. */
async function project(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(folder, 'project-'))
  t.onTestFinished(() => rm(path, { recursive: true, force: true }))
  await mkdir(join(path, 'app'))
  await writeFile(join(path, 'hello.sh'), 'echo "hello $1"\n')
  await writeFile(join(path, 'app/sum.js'), 'exports.sum = (a, b) => a + b\n')
  await writeFile(join(path, 'app/check.js'), "if (require('./sum.js').sum(1, 2) !== 3) process.exit(1)\n")
  return path
}

const [major = ''] = process.versions.node.split('.')
const tiny = {
  languages: [
    {
      language: 'shell',
      commands: { lint: 'bash -n hello.sh', 'unit-tests': '[ "$(bash hello.sh you)" = "hello you" ]' },
    },
    {
      language: 'node',
      path: 'app',
      version: major,
      commands: {
        prepare: 'true',
        build: 'node --check sum.js',
        lint: 'node --check check.js',
        'unit-tests': 'node check.js',
      },
    },
  ],
}

describe('what was generated runs', () => {
  test('from a folder to an environment that answers, and to a word about it', async (t) => {
    const told: unknown[] = []
    const listener: RequestListener = async (request, response) => {
      if (request.method === 'POST') told.push(JSON.parse((await request.toArray()).join('')))
      response.end('ok')
    }
    const at = `http://127.0.0.1:${await serve(listener)}`
    const command = 'sha256sum --check <<<"$ARCHIVE_SHA256  $ARCHIVE"\nmkdir ../live\ntar -xzf "$ARCHIVE" -C ../live'
    const { yaml, document, explanations } = await generated({
      ...tiny,
      name: 'tiny',
      targets: ['archive'],
      environments: [{ name: 'live', command, settle: '1ms', url: `${at}/health` }],
      notify: { url: `${at}/told` },
    })
    const source = await project(t)
    const { id, status, stages } = await run(yaml, 'tiny', { source })
    expect({ status, stages }).toMatchObject({ status: 'completed' })
    expect(Object.keys(stages).sort()).toEqual(explanations.map(({ stage }) => stage).sort())
    expect(await readFile(join(folder, 'work', id, 'live/app/sum.js'), 'utf8')).toContain('exports.sum')
    expect(told).toEqual([{ workflow: 'tiny', version: 1, execution: id, stages: { 'verify-live': 'completed' } }])
    expect(document).toMatchObject({ stages: { 'toolchain-node': { needs: ['checkout'] } } })
  })

  test('from a git repository, at the ref that is asked for', async (t) => {
    const repository = await project(t)
    const git = (...args: string[]) =>
      execFileSync('git', ['-C', repository, '-c', 'user.name=t', '-c', 'user.email=t@example.com', ...args])
    git('init', '--quiet', '--initial-branch=main')
    git('add', '.')
    git('commit', '--quiet', '--message', 'works')
    git('tag', 'good')
    await writeFile(join(repository, 'app/sum.js'), 'exports.sum = (a, b) => a - b\n')
    git('commit', '--quiet', '--all', '--message', 'does not')
    const { yaml } = await generated({ ...tiny, name: 'from-git', source: 'git' })
    expect((await run(yaml, 'from-git', { repository, ref: 'good' })).status).toBe('completed')

    const started = await post('/v1/default/executions', { workflow: 'from-git', input: { repository } })
    const { id } = started.json<{ id: string }>()
    await built.ended(id)
    const state = (await built.server.inject(`/v1/default/executions/${id}/state`)).json()
    expect(state).toMatchObject({ status: 'failed', stages: { 'unit-tests-node': { status: 'failed' } } })
  })

  test('a worker with another version is refused before anything is built', async (t) => {
    const [shell, node] = tiny.languages
    const languages = [shell, { ...node, version: `${Number(major) + 1}` }]
    const { yaml } = await generated({ name: 'other-version', languages })
    const { status, stages } = await run(yaml, 'other-version', { source: await project(t) })
    expect(status).toBe('failed')
    expect(stages['toolchain-node'].error.message).toContain(`expected version ${Number(major) + 1}, found ${major}.`)
    expect(stages['build-node'].status).toBe('skipped')
  })

  test('a static site is packed from the folder that the build left', async (t) => {
    const source = await project(t)
    await cp(join(source, 'app'), join(source, 'docs/public'), { recursive: true })
    await writeFile(join(source, 'docs/public/index.html'), '<h1>hello</h1>')
    const command = 'tar -tzf "$SITE" | grep -qx ./index.html'
    const { yaml } = await generated({
      ...tiny,
      name: 'site',
      targets: [{ target: 'static-site', path: 'docs' }],
      environments: [{ name: 'live', command }],
    })
    expect(await run(yaml, 'site', { source })).toMatchObject({
      status: 'completed',
      stages: { site: { output: { archive: '../site-site.tar.gz' } } },
    })
  })
})

test('every script of the templates is one that bash can read', () => {
  expect(templateScripts.length).toBeGreaterThan(50)
  for (const input of templateScripts) {
    const { status, stderr } = spawnSync('bash', ['-n'], { input, encoding: 'utf8' })
    expect(status, `${input}\n${stderr}`).toBe(0)
  }
})

test('nothing is saved, and a description in YAML is taken as well', async () => {
  const head = await built.store.head()
  const payload = 'name: shop\nlanguages: [node, shell]\ngates: [coverage]\n'
  const headers = { 'content-type': 'application/yaml' }
  const response = await built.server.inject({ method: 'POST', url: URL, payload, headers })
  expect(response.statusCode).toBe(200)
  expect(response.json().omissions).toEqual([{ stage: 'coverage-shell', why: expect.stringMatching(/^No command/) }])
  expect(await built.store.head()).toBe(head)
})

describe('a description that cannot be followed is refused', () => {
  const node = { language: 'node' }
  test.each<[string, object, string]>([
    ['no languages', { languages: [] }, '/languages'],
    ['an unknown language', { languages: ['node', 'cobol'] }, '/languages/1/language'],
    ['an unknown member', { languages: [{ ...node, frobs: 1 }] }, '/languages/0/frobs'],
    ['an unknown command', { languages: [{ ...node, commands: { frob: 'x' } }] }, '/languages/0/commands/frob'],
    ['a blank command', { languages: [{ ...node, commands: { build: ' ' } }] }, '/languages/0/commands/build'],
    ['an expression', { languages: [{ ...node, commands: { build: '${{ 1 }}' } }] }, '/languages/0/commands/build'],
    ['a folder above', { languages: [{ ...node, path: '../x' }] }, '/languages/0/path'],
    ['an option as a folder', { languages: [{ ...node, path: '-rf' }] }, '/languages/0/path'],
    ['a script as a version', { languages: [{ ...node, version: '$(id)' }] }, '/languages/0/version'],
    ['a part twice', { languages: ['node', 'node'] }, '/languages/1'],
    ['a tool twice in a folder', { languages: ['node', 'typescript'] }, '/languages/1'],
    ['a gate twice', { gates: ['lint', 'lint'] }, '/gates'],
    ['a gate that nothing has', { languages: ['shell'], gates: ['lint', 'coverage'] }, '/gates/1'],
    [
      'a command for no gate',
      { languages: [{ ...node, commands: { coverage: 'x' } }] },
      '/languages/0/commands/coverage',
    ],
    ['a minimum for no gate', { minimumCoverage: 90 }, '/minimumCoverage'],
    ['an unknown target', { targets: ['rocket'] }, '/targets/0/target'],
    ['a package that nobody makes', { languages: ['shell'], targets: ['package'] }, '/targets/0'],
    ['a folder for packages', { targets: [{ target: 'package', path: 'x' }] }, '/targets/0/path'],
    ['an environment twice', { environments: [{ name: 'live' }, { name: 'live' }] }, '/environments/1/name'],
    ['a name for a script', { environments: [{ name: 'live; id' }] }, '/environments/0/name'],
    [
      'nobody to approve',
      { environments: [{ name: 'live', approval: { approvers: [] } }] },
      '/environments/0/approval/approvers',
    ],
    ['an address of another kind', { environments: [{ name: 'live', url: 'file:///x' }] }, '/environments/0/url'],
    ['an expression in an address', { notify: { url: 'https://x.example/${{ input.a }}' } }, '/notify/url'],
    ['no name', { name: undefined }, '/name'],
  ])('%s', async (_, part, pointer) => {
    const head = await built.store.head()
    const response = await post(URL, { name: 'shop', languages: ['node'], ...part })
    const { errors } = expectProblem(response, 400, 'REQUEST_INVALID')
    expect(errors.map((fault) => fault.pointer)).toContain(pointer)
    expect(await built.store.head()).toBe(head)
  })
})

test('the example of the documentation is answered with the stages that it says', async () => {
  const guide = readFileSync(join(import.meta.dirname, '../../docs/generate.md'), 'utf8')
  const [, example = ''] = /```json\n([\s\S]*?)```/.exec(guide) ?? []
  const { document, explanations, summary, omissions } = await generated(JSON.parse(example))
  const [, table = ''] = /each waits for:\n\n([\s\S]*?)\n\n/.exec(guide) ?? []
  const rows = table.split('\n').slice(2)
  const said = rows.map((row) => [...row.matchAll(/`([^`]+)`/g)].map(([, name]) => name))
  const { stages } = document as { stages: { [id: string]: { needs?: string[]; description: string } } }
  expect(Object.entries(stages).map(([id, { needs = [] }]) => [id, ...needs])).toEqual(said)
  expect(explanations.map(({ why }) => why)).toEqual(Object.values(stages).map(({ description }) => description))
  expect(summary).toMatchObject({ name: 'shop', stages: said.length })
  expect(omissions).toEqual([])
})
