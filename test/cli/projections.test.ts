// `millrace projections` against a whole program, and against servers that are none.
import { expect, it, vi } from 'vitest'
import { query } from '../support/postgres.ts'
import { outcomeOf, servedProgram } from '../support/served.ts'

const served = servedProgram()
const projections = (...args: string[]) => outcomeOf('projections', ...args)
const rowsOf = (sql: string) => query(served.database, sql)

it('lists them, builds one again, shows what differed, goes back, and ends as it says', {
  timeout: 120_000,
}, async () => {
  const { program, url } = await served.start()
  const json = { 'content-type': 'application/json' }
  const document = JSON.stringify({ name: 'build', stages: { build: { uses: 'shell', with: { run: 'true' } } } })
  await fetch(`${url}/v1/default/workflows/build`, { method: 'PUT', headers: json, body: document })
  await vi.waitFor(async () => expect(await rowsOf('SELECT FROM workflows')).toHaveLength(1), 20_000)
  const at = ['--url', url]
  const listed = await projections('list', ...at)
  expect(listed).toMatchObject({ code: 0, errors: [] })
  expect(listed.lines).toHaveLength(6)
  expect(listed.lines[0]).toMatch(/^events \(version 2\) (has caught up|is \d+ events)/)

  await rowsOf(`UPDATE workflows SET status = 'retired'`)
  expect(await projections('rebuild', 'workflows', ...at, '--reason', 'to see')).toEqual({
    code: 0,
    errors: [],
    lines: [
      expect.stringMatching(/^workflows: 1 live rows were not as built, at position \d+$/),
      '  workflows default/build differs from what the log says in status',
      expect.stringMatching(/^workflows was built again from 1 events in \d+\.\d s and swapped in$/),
    ],
  })
  expect(await rowsOf('SELECT status FROM workflows')).toEqual([{ status: 'active' }])
  expect((await projections('diff', 'workflows', ...at)).code).toBe(1)
  expect(await projections('rollback', 'workflows', ...at)).toMatchObject({ code: 0, errors: [] })
  expect(await rowsOf('SELECT status FROM workflows')).toEqual([{ status: 'retired' }])
  await projections('rollback', 'workflows', ...at)

  const held = await projections('rebuild', 'workflows', '--hold', ...at)
  expect(held).toMatchObject({ code: 0, errors: [] })
  expect(held.lines.at(-1)).toContain('go on with: millrace projections swap workflows')
  expect((await projections('diff', 'workflows', ...at)).code).toBe(0)
  expect(await projections('rebuild', 'workflows', ...at)).toEqual({
    code: 1,
    lines: [],
    errors: ['millrace: a rebuild of workflows is running already; cancel it first'],
  })
  expect((await projections('cancel', 'workflows', ...at)).lines).toEqual(['the rebuild of workflows was cancelled'])
  expect((await projections('forget', 'workflows', ...at)).code).toBe(0)
  expect((await projections('list', '--json', ...at)).lines.join('\n')).not.toContain('kept')

  for (const [args, said] of [
    [['rebuild', 'nothing'], 'there is no projection nothing'],
    [['retry', 'workflows'], 'workflows has not stopped; there is nothing to decide'],
    [
      ['skip', 'workflows', '--position', '3', '--reason', 'x'],
      'workflows has not stopped; there is nothing to decide',
    ],
    [['diff', 'events'], 'nothing of events has been compared: a rebuild does that before it is swapped in'],
  ] as const)
    expect(await projections(...args, ...at)).toEqual({ code: 1, lines: [], errors: [`millrace: ${said}`] })
  expect(await program.stop('SIGTERM')).toEqual({ code: 0, signal: null })
  expect(program.errors).toEqual([])
})

it('says what is wrong with how it was called, or that nobody answers', async () => {
  expect(await projections('list', '--url', 'nowhere')).toMatchObject({ code: 2 })
  expect(await projections('list', '--url', 'http://127.0.0.1:9')).toMatchObject({ code: 69 })
  expect(await projections('skip', 'executions', '--position', '3')).toMatchObject({ code: 2 })
  expect(await projections('rebuild')).toMatchObject({ code: 2 })
  expect(await projections('mend', 'executions')).toMatchObject({ code: 2 })
})
