import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { reservedHandlerNames } from '../../src/domain/workflow/handler-names.ts'
import { loadHandlers } from '../../src/workers/handlers/load.ts'
import { stageContext } from '../support/stage-context.ts'

let dir: string
beforeAll(() => {
  // Inside the project, so that modules find the package by its own name as a user's would.
  const parent = join(import.meta.dirname, '../../node_modules/.cache')
  mkdirSync(parent, { recursive: true })
  dir = mkdtempSync(join(parent, 'handlers-'))
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

function module(name: string, source: string): string {
  const path = join(dir, name)
  writeFileSync(path, source)
  return path
}

const handler = (name: string, run = 'async () => ({ ran: true })') => `{ name: ${JSON.stringify(name)}, run: ${run} }`

describe('loading', () => {
  it('takes one handler or a list from a default export', async () => {
    const one = module('one.mjs', `export default ${handler('one')}`)
    const list = module('list.mjs', `export default [${handler('two')}, ${handler('three')}]`)
    const loaded = await loadHandlers([one, list])
    expect(loaded.map((loadedHandler) => loadedHandler.name)).toEqual(['one', 'two', 'three'])
    expect(await loaded[0]?.run(stageContext({}).context)).toEqual({ ran: true })
    expect(await loadHandlers([])).toEqual([])
  })

  it('keeps the version that a handler says', async () => {
    const [own, other] = await loadHandlers([
      module('version.mjs', `export default [{ ...${handler('own')}, version: '2.1.0' }, ${handler('other')}]`),
    ])
    expect(own?.version).toBe('2.1.0')
    expect(other).not.toHaveProperty('version')
  })

  it('takes the example, by a path relative to where the program runs', async () => {
    const [example] = await loadHandlers(['examples/handlers/check-links.ts'])
    expect(example?.name).toBe('check-links')
    await expect(example?.run(stageContext({ file: 7 }).context)).rejects.toThrow('file:')
  })

  it.each<[string, string, string]>([
    ['missing.mjs', '', 'there is no such file'],
    ['no-such-package-here', '', 'no-such-package-here'],
    ['throws.mjs', 'throw new Error("at first\\nand then")', 'at first'],
    ['imports.mjs', 'import "./nothing.mjs"', 'nothing.mjs'],
    ['syntax.mjs', 'export default {', 'Unexpected end'],
    ['none.mjs', 'export const x = 1', 'neither a handler'],
    ['null.mjs', 'export default null', 'neither a handler'],
    ['text.mjs', 'export default "handler"', 'neither a handler'],
    ['nested.mjs', `export default [[${handler('deep')}]]`, 'neither a handler'],
    ['nameless.mjs', 'export default { run() {} }', 'needs a name'],
    ['loud.mjs', `export default ${handler('LOUD')}`, 'needs a name'],
    ['long.mjs', `export default ${handler('a'.repeat(64))}`, 'needs a name'],
    [
      'numbered.mjs',
      `export default { ...${handler('numbered')}, version: 2 }`,
      'the version of "numbered" is not a text',
    ],
    ['wordy.mjs', `export default { ...${handler('wordy')}, version: 'v'.repeat(65) }`, 'of 1 to 64 characters'],
    ['blank.mjs', `export default { ...${handler('blank')}, version: '' }`, 'of 1 to 64 characters'],
    ['twice.mjs', `export default [${handler('same')}, ${handler('same')}]`, 'named "same" already'],
    ...reservedHandlerNames.map((name): [string, string, string] => [
      `own-${name}.mjs`,
      `export default ${handler(name)}`,
      'built-in',
    ]),
  ])('refuses %s in one line', async (name, source, what) => {
    const given = source === '' ? (name.endsWith('.mjs') ? join(dir, name) : name) : module(name, source)
    const error = await loadHandlers([given]).then(
      () => expect.fail('loaded'),
      (thrown: Error) => thrown,
    )
    expect(error.message).toMatch(/^handlers from "[^\n]*$/)
    expect(error.message).toContain(name)
    expect(error.message).toContain(what)
  })
})

describe('outputs of loaded handlers', () => {
  const outputOf = async (name: string, run: string) => {
    const [loaded] = await loadHandlers([module(`${name}.mjs`, `export default ${handler(name, run)}`)])
    return loaded?.run(stageContext({}).context)
  }

  it('are plain JSON', async () => {
    expect(await outputOf('nothing', '() => {}')).toBeNull()
    expect(await outputOf('dates', '() => ({ at: new Date(0), gone: undefined })')).toEqual({
      at: '1970-01-01T00:00:00.000Z',
    })
  })

  it.each([
    ['circle', '() => { const a = {}; a.a = a; return a }', 'OUTPUT_INVALID'],
    ['bigint', '() => 1n', 'OUTPUT_INVALID'],
    ['nul', '() => ["\\0"]', 'OUTPUT_INVALID'],
    ['deep', '() => { let a = []; for (let i = 0; i < 500; i++) a = [a]; return a }', 'OUTPUT_INVALID'],
    ['very-deep', '() => { let a = []; for (let i = 0; i < 1e5; i++) a = [a]; return a }', 'OUTPUT_INVALID'],
    ['large', '() => "x".repeat(262144)', 'OUTPUT_TOO_LARGE'],
  ])('that are not are refused: %s', async (name, run, code) => {
    await expect(outputOf(name, run)).rejects.toMatchObject({ error: { code, retryable: false } })
  })
})
