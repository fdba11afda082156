// `millrace audit`: exports of a running program, verified when it is gone.
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it, vi } from 'vitest'
import { outcomeOf, servedProgram } from '../support/served.ts'

const served = servedProgram()
const audit = (...args: string[]) => outcomeOf('audit', ...args)

it('exports, keeps checkpoints, and verifies without the server', { timeout: 120_000 }, async () => {
  const { program, url } = await served.start()
  const json = { 'content-type': 'application/json' }
  const document = JSON.stringify({ name: 'build', stages: { build: { uses: 'shell', with: { run: 'true' } } } })
  const put = await fetch(`${url}/v1/default/workflows/build`, { method: 'PUT', headers: json, body: document })
  const { position } = (await put.json()) as { position: string }
  await vi.waitFor(async () => {
    const answer = await fetch(`${url}/v1/default/audit?minPosition=${position}`)
    expect(((await answer.json()) as { items: unknown[] }).items).toHaveLength(1)
  }, 20_000)
  const file = join(served.data, 'export.ndjson')
  const keyFile = join(served.data, 'key.pem')
  const kept = join(served.data, 'checkpoint.json')
  expect(await audit('export', '--url', url, '--out', file)).toEqual({ code: 0, lines: [], errors: [] })
  expect(await audit('export', '--url', url, '--out', file)).toMatchObject({
    code: 1,
    errors: [`millrace: ${file} is there already`],
  })
  const printed = await audit('export', '--url', url)
  expect(printed.lines.slice(0, -1)).toEqual(readFileSync(file, 'utf8').trimEnd().split('\n').slice(0, -1))
  writeFileSync(keyFile, `${(await audit('key', '--url', url)).lines.join('\n')}\n`)
  writeFileSync(kept, (await audit('checkpoint', '--url', url)).lines.join('\n'))
  expect(statSync(join(served.data, 'audit-key.pem')).mode & 0o777).toBe(0o600)
  expect(await program.stop('SIGTERM')).toEqual({ code: 0, signal: null })

  const verified = await audit('verify', file, '--key', keyFile, '--checkpoint', kept)
  expect(verified).toMatchObject({ code: 0, errors: [] })
  expect(verified.lines).toEqual([expect.stringMatching(/^verified: 1 records of default \(1 to 1\), complete as of /)])
  expect((await audit('verify', file)).lines[0]).toContain('only a key can tell')

  const changed = join(served.data, 'changed.ndjson')
  writeFileSync(changed, readFileSync(file, 'utf8').replace('user:local', 'user:someone'))
  const found = await audit('verify', changed, '--key', keyFile)
  expect(found.code).toBe(1)
  expect(found.lines[0]).toMatch(/changed\.ndjson:2: record 1 does not give the hash/)
  expect(found.lines.at(-1)).toMatch(/^not as it was: \d+ faults in/)

  // The key stays the same over a restart.
  const again = await served.start()
  expect((await audit('key', '--url', again.url)).lines).toEqual(readFileSync(keyFile, 'utf8').trimEnd().split('\n'))
  expect(await again.program.stop('SIGTERM')).toEqual({ code: 0, signal: null })
})

it('says what is wrong with how it was called', async () => {
  const file = join(served.data, 'none.ndjson')
  expect(await audit('verify', file)).toMatchObject({ code: 1, errors: [expect.stringContaining('cannot be read')] })
  writeFileSync(file, 'nothing\n')
  expect(await audit('verify', file, '--key', file)).toMatchObject({
    code: 1,
    errors: [expect.stringContaining('no public key')],
  })
  expect(await audit('verify', file, '--checkpoint', file)).toMatchObject({
    code: 1,
    errors: [expect.stringContaining('no checkpoint')],
  })
  expect(await audit('verify', file)).toMatchObject({
    code: 1,
    lines: expect.arrayContaining([expect.stringContaining(':1: ')]),
  })
  expect(await audit('verify')).toMatchObject({ code: 2 })
  expect(await audit('export', '--url', 'http://127.0.0.1:9')).toMatchObject({ code: 69 })
})
