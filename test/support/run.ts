// Runs the suites and closes with one line of totals taken from the runner's own report; names what was skipped, and why.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

type Assertion = { status: string; fullName: string; meta?: { skipReason?: string } }
type Report = {
  numPassedTests: number
  numFailedTests: number
  numPendingTests: number
  numTodoTests: number
  success: boolean
  testResults: { name: string; status: string; assertionResults: Assertion[] }[]
}

const which = process.argv[2] ?? 'all'
const folder = mkdtempSync(join(tmpdir(), 'millrace-report-'))
const file = join(folder, 'report.json')
const vitest = join(import.meta.dirname, '../../node_modules/vitest/vitest.mjs')
const projects = which === 'fast' ? ['--project', 'fast'] : []
const run = spawnSync(
  process.execPath,
  [
    vitest,
    'run',
    ...projects,
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${file}`,
    ...process.argv.slice(3),
  ],
  { stdio: 'inherit' },
)

let report: Report
try {
  report = JSON.parse(readFileSync(file, 'utf8')) as Report
} catch {
  console.error('the test runner left no report')
  process.exit(1)
} finally {
  rmSync(folder, { recursive: true, force: true })
}

const brokenFiles = report.testResults.filter((r) => r.status === 'failed' && r.assertionResults.length === 0)
for (const { name } of brokenFiles) console.log(`failed to load: ${name}`)
for (const { assertionResults } of report.testResults)
  for (const test of assertionResults)
    if (test.status === 'pending' || test.status === 'skipped')
      console.log(`skipped: ${test.fullName}${test.meta?.skipReason ? ` (${test.meta.skipReason})` : ''}`)
if (which === 'fast') console.log('left out: every suite but the fast ones; npm test runs all')

const failed = report.numFailedTests + brokenFiles.length
const skipped = report.numPendingTests + report.numTodoTests
console.log(`${report.numPassedTests} passed, ${failed} failed, ${skipped} skipped`)
process.exit(run.status === 0 && report.success && report.numPassedTests > 0 ? 0 : 1)
