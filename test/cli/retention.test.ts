// `millrace retention` against a whole program.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it, onTestFinished, vi } from 'vitest'
import { query } from '../support/postgres.ts'
import { outcomeOf, servedProgram } from '../support/served.ts'

const served = servedProgram()
const retention = (...args: string[]) => outcomeOf('retention', ...args)

function files() {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-policy-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  return (name: string, text: string) => {
    writeFileSync(join(folder, name), text)
    return join(folder, name)
  }
}

it('sets a policy, shows what it would take, takes it, and gives a stream back', { timeout: 120_000 }, async () => {
  const { url } = await served.start()
  const file = files()
  const at = ['--url', url]
  const json = { 'content-type': 'application/json' }
  const send = (method: string, path: string, body: object) =>
    fetch(`${url}/v1/default/${path}`, { method, headers: json, body: JSON.stringify(body) })
  await send('PUT', 'workflows/build', { name: 'build', stages: { build: { uses: 'shell', with: { run: 'true' } } } })
  const ids: string[] = []
  for (let n = 0; n < 3; n++)
    ids.push(((await (await send('POST', 'executions', { workflow: 'build' })).json()) as { id: string }).id)
  const ended = `SELECT id, archived_in FROM executions WHERE status = 'completed'`
  await vi.waitFor(async () => expect(await query(served.database, ended)).toHaveLength(3), 20_000)

  expect((await retention('show', ...at)).lines.slice(0, 2)).toEqual([
    'policy of default: none, everything is kept',
    expect.stringMatching(/^ {2}streams: 3, the oldest of \d{4}-/),
  ])
  expect((await retention('preview', ...at)).lines).toEqual(['nothing: default has no policy, everything is kept'])
  expect((await retention('clean-up', ...at)).lines).toEqual(['nothing was due'])

  const yaml = file('policy.yaml', '# ours\nstreams:\n  - atMost: 1\n')
  const wanted = [
    expect.stringMatching(/^streams: 2, the oldest of /),
    '  runs that are not among the last 1 of their workflow',
    expect.stringMatching(/^ {2}such as /),
  ]
  // Nothing goes that has only just ended.
  await vi.waitFor(async () => expect((await retention('preview', yaml, ...at)).lines).toEqual(wanted), {
    ...{ timeout: 60_000, interval: 1_000 },
  })
  expect((await retention('preview', file('policy.json', '{"streams": [{"atMost": 1}]}'), ...at)).lines).toEqual(wanted)
  expect(await retention('set', yaml, ...at)).toMatchObject({ code: 0, errors: [] })
  expect((await retention('show', ...at)).lines[0]).toBe('policy of default: {"streams":[{"atMost":1}]}')
  expect((await retention('clean-up', ...at)).lines).toEqual(['gone: 2 of streams'])
  const archived = (await query(served.database, `${ended} AND archived_in IS NOT NULL`)) as { id: string }[]
  expect(archived).toHaveLength(2)
  expect(JSON.parse((await retention('show', '--json', ...at)).lines.join('\n')).storage.archive.files).toBe(1)

  expect((await retention('unarchive', archived[0]!.id, ...at)).lines[0]).toContain('is in the log again')
  const refused = await retention('unarchive', ids[2]!, ...at)
  expect(refused).toEqual({ code: 1, lines: [], errors: [`millrace: the stream of ${ids[2]} is in the log`] })
  const wrong = await retention('set', file('wrong.yaml', 'streams: []\n'), ...at)
  expect(wrong).toMatchObject({ code: 1, lines: [] })
  expect(wrong.errors[0]).toContain('at least one rule')
  expect((await retention('set', '/nowhere/policy.yaml', ...at)).errors[0]).toContain('cannot be read: ENOENT')
  expect(await outcomeOf('verify', ...at)).toMatchObject({ code: 0 })
})
