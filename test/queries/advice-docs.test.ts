import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { parseDocument } from '../../src/commands/parse-document.ts'
import { adviseOn } from '../../src/queries/advice/advice.ts'
import { compiled } from '../support/documents.ts'
import { recordedRuns } from '../support/recorded-runs.ts'

const page = readFileSync(new URL('../../docs/advice.md', import.meta.url), 'utf8')
const block = (language: string): string => new RegExp(`\`\`\`${language}\n(.*?)\`\`\``, 's').exec(page)![1]!

test('the example of the documentation is what the runs that it tells of give', () => {
  const { definition } = compiled(parseDocument(block('yaml'), 'yaml').value)
  const runs = recordedRuns(definition, 40, (at) => ({
    build: [{ workMs: 40_000 }],
    lint: [{ workMs: 20_000 }],
    test: at % 4 === 0 ? [{ workMs: 10_000, fails: 'network' }, { workMs: 60_000 }] : [{ workMs: 60_000 }],
    ship: [{ workMs: 15_000, waitMs: at % 2 === 0 ? 30_000 : 0 }],
  }))
  expect(JSON.parse(block('json'))).toEqual(adviseOn(1, definition, runs))
})
