// Plans that have failed once, each with what it broke then; the tests run them again.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Plan } from './plan.ts'

export type Regression = { readonly found: string; readonly plan: Plan }

const folder = join(import.meta.dirname, 'regressions')

export function readRegressions(): readonly (Regression & { readonly name: string })[] {
  const names = readdirSync(folder).filter((name) => name.endsWith('.json'))
  return names.sort().map((name) => ({ name, ...readRegression(join(folder, name)) }))
}

export const readRegression = (path: string): Regression => JSON.parse(readFileSync(path, 'utf8')) as Regression

/** Where it was saved. */
export function saveRegression(regression: Regression): string {
  const path = join(folder, `${regression.plan.profile}-${regression.plan.seed}.json`)
  writeFileSync(path, `${JSON.stringify(regression, null, 2)}\n`)
  return path
}
