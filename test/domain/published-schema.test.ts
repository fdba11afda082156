import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Validator } from '@cfworker/json-schema'
import { describe, expect, test } from 'vitest'
import { publishedSchema } from '../../src/domain/workflow/published-schema.ts'

const file = join(import.meta.dirname, '../../schemas/workflow.json')

describe('the published schema', () => {
  test('is current; `npm run schemas` writes it', () => {
    expect(readFileSync(file, 'utf8')).toBe(`${JSON.stringify(publishedSchema(), null, 2)}\n`)
  })
  test.each<[boolean, object]>([
    [true, { name: 'a', stages: { b: { uses: 'shell', with: { run: 'x' }, timeout: '1m' } } }],
    [true, { name: 'a', stages: { b: { uses: 'migrate-tables' } } }],
    [true, { name: 'a', stages: { b: { uses: 'wait', with: { duration: '1s' } } } }],
    [false, { name: 'a', stages: { b: { uses: 'shell', with: { runn: 'x' } } } }],
    [false, { name: 'a', stages: { b: { uses: 'wait', with: {} } } }],
    [true, { name: 'a', stages: { b: { uses: 'http', with: { url: 'http://x', method: 'OPTIONS' } } } }],
    [true, { name: 'a', stages: { b: { uses: 'shell', with: { run: 'x', cwd: '${{ input.cwd }}' } } } }],
    [false, { name: 'a', stages: { b: { uses: 'shell', with: { run: '${{ input.x }}' } } } }],
    [false, { name: 'a', stages: { b: { uses: 'shell', with: { run: 'x', cwd: 'a'.repeat(1_025) } } } }],
    [false, { name: 'a', stages: { b: { uses: 'shell', with: { run: 'x', env: { MILLRACE_STAGE: '1' } } } } }],
    [false, { name: 'a', stages: { b: { uses: 'http', with: { url: 'http://x', headers: { Host: 'y' } } } } }],
    [false, { name: 'a', stages: { b: { uses: 'http', with: { url: 'http://x', method: 'TRACE' } } } }],
    [false, { name: 'a', stages: { b: { uses: 'wait', with: { duration: '1s' }, timeout: '1m' } } }],
    [false, { name: 'a', stages: { b: { uses: 'wait', with: { duration: '1s' }, retry: {} } } }],
    [false, { name: 'a', stages: { b: { uses: 'wait', with: { duration: '1s' }, queue: 'linux' } } }],
    [false, { name: 'A', stages: { b: { uses: 'x' } } }],
    [false, { name: 'a', stages: { b: { uses: 'x', need: [] } } }],
    [false, { name: 'a' }],
  ])('says %s for %j', (valid, document) => {
    expect(new Validator(publishedSchema(), '2020-12').validate(document).valid).toBe(valid)
  })
})
