import type { LightMyRequestResponse } from 'fastify'
import { expect } from 'vitest'
import { type Problem, problemSchema } from '../../src/api/problems.ts'

/** Holds an answer to what every error must be: a problem of that status and code, which tells nothing of the inside. */
export function expectProblem(
  response: Pick<LightMyRequestResponse, 'statusCode' | 'headers' | 'body'>,
  status: number,
  code?: string,
): Problem {
  expect({ status: response.statusCode, type: response.headers['content-type'] }, response.body).toEqual({
    status,
    type: expect.stringMatching(/^application\/problem\+json(;|$)/),
  })
  const problem = problemSchema.parse(JSON.parse(response.body)) as Problem
  expect(problem.status).toBe(status)
  if (code !== undefined) expect(problem.code).toBe(code)
  expect(response.body).not.toMatch(/\bat [^"]*\.[jt]s:\d+|node_modules|\/src\//)
  expect(response.headers['x-content-type-options']).toBe('nosniff')
  return problem
}
