// Workflow documents for the tests of the compiler, and what it makes of them.
import { expect } from 'vitest'
import type { Json } from '../../src/domain/message.ts'
import type { Compilation } from '../../src/domain/workflow/compile.ts'
import { compileWorkflow } from '../../src/domain/workflow/compile.ts'

export type Members = { [key: string]: Json }
export const shell = (more: Members = {}): Members => ({ uses: 'shell', with: { run: 'make' }, ...more })
export const workflow = (stages: Json, more: Members = {}): Members => ({ name: 'release', stages, ...more })
export const faultsOf = (document: Json): string[] => {
  const compilation = compileWorkflow(document)
  return compilation.ok ? [] : compilation.faults.map(({ pointer, message }) => `${pointer} ${message}`)
}
export const compiled = (document: Json): Extract<Compilation, { ok: true }> => {
  const compilation = compileWorkflow(document)
  if (!compilation.ok) expect.fail(JSON.stringify(compilation.faults))
  return compilation
}
export const onlyStage = (stage: Json) => compiled(workflow({ a: stage })).definition.stages[0]!
