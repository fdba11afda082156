import type { z } from 'zod'
import { boundedText } from '../domain/bounded-text.ts'
import { StageFailure } from '../ports/handler.ts'

/** `with` as its handler wants it. Says which members are wrong, never what stands in them: that may be a secret. */
export function parseInput<S extends z.ZodType>(schema: S, input: unknown): z.output<S> {
  const result = schema.safeParse(input)
  if (result.success) return result.data
  throw invalidInput(result.error.issues.slice(0, 10).map(describe).join('; '))
}

function describe(issue: z.core.$ZodIssue): string {
  // What is wrong with the name of a member stands one level further in.
  const { message } = (issue.code === 'invalid_key' && issue.issues[0]) || issue
  return issue.path.length === 0 ? message : `${issue.path.map(String).join('.')}: ${message}`
}

export const invalidInput = (what: string): StageFailure =>
  new StageFailure({ code: 'INPUT_INVALID', message: boundedText(`with: ${what}`, 4_096), retryable: false })
