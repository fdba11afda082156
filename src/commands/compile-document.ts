import type { Json } from '../domain/message.ts'
import type { Fault } from '../domain/rejected.ts'
import type { Compilation } from '../domain/workflow/compile.ts'
import { compileWorkflow } from '../domain/workflow/compile.ts'
import { checkInputSchema, compileInputSchema } from './input-schema.ts'

/** Everything there is to check about a workflow's document, the schema of its input included. */
export function compileDocument(value: Json): Compilation {
  const compilation = compileWorkflow(value)
  const input = inputOf(value)
  const faults = [
    ...(compilation.ok ? [] : compilation.faults),
    ...(input === undefined ? [] : checkInputSchema(input)),
    ...(compilation.ok ? scheduleFaults(compilation) : []),
  ]
  return faults.length === 0 ? compilation : { ok: false, faults }
}

/** The schema as it was sent: where the compilation failed, it is checked all the same. What is no object is no schema. */
function inputOf(document: Json): { [key: string]: Json } | undefined {
  if (typeof document !== 'object' || document === null || Array.isArray(document)) return undefined
  const { input } = document
  return typeof input === 'object' && input !== null && !Array.isArray(input) ? input : undefined
}

/** What a schedule gives its runs is known already, so that it fits need not wait for the first of them. */
function scheduleFaults({ inputSchema, schedules = {} }: Extract<Compilation, { ok: true }>): readonly Fault[] {
  if (inputSchema === undefined || checkInputSchema(inputSchema).length > 0) return []
  const faultsOf = compileInputSchema(inputSchema)
  return Object.entries(schedules).flatMap(([name, { input = {} }]) =>
    faultsOf(input).map((fault) => ({ ...fault, pointer: `/schedules/${name}${fault.pointer}` })),
  )
}
