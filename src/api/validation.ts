// What zod finds wrong with a request, as faults with pointers; a path that fits no pattern names nothing there is.
import type { FastifySchemaCompiler } from 'fastify'
import type { z } from 'zod'
import type { Fault } from '../domain/rejected.ts'
import { pointerTo, RequestProblem } from './problems.ts'

/** Where the faults of a part of the request point; those of the body point into the body itself. */
const roots: Readonly<Record<string, readonly string[]>> = { querystring: ['query'], headers: ['headers'], body: [] }

export const validateWithZod: FastifySchemaCompiler<z.ZodType> =
  ({ schema, httpPart = 'body' }) =>
  (data: unknown) => {
    const { success, data: value, error } = schema.safeParse(data)
    if (success) return { value }
    if (httpPart === 'params') return { error: new RequestProblem('NOT_FOUND', 'there is nothing of that name') }
    const faults = error.issues.flatMap((issue) => faultsOf(issue, roots[httpPart] ?? []))
    return { error: new RequestProblem('REQUEST_INVALID', detailOf(httpPart, faults), { faults }) }
  }

function detailOf(httpPart: string, [first, ...rest]: readonly Fault[]): string {
  const part = httpPart === 'querystring' ? 'query' : httpPart
  const more = rest.length > 0 ? `, and ${rest.length} more` : ''
  return `the ${part} is not valid: ${first?.pointer || 'it'}: ${first?.message}${more}`
}

function faultsOf(issue: z.core.$ZodIssue, root: readonly string[]): readonly Fault[] {
  const path = [...root, ...issue.path]
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => ({ pointer: pointerTo([...path, key]), message: 'there is no such member' }))
  if (issue.code === 'invalid_key')
    return [{ pointer: pointerTo(path), message: issue.issues.map(({ message }) => message).join('; ') }]
  return [{ pointer: pointerTo(path), message: issue.message }]
}
