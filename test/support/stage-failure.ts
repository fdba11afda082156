import { expect } from 'vitest'
import type { StageError } from '../../src/domain/execution/events.ts'
import { StageFailure } from '../../src/ports/handler.ts'

/** What a run that has to fail says of it. */
export async function stageFailure(run: Promise<unknown>): Promise<StageError> {
  const thrown = await run.then(
    (value) => expect.fail(`resolved with ${JSON.stringify(value)}`),
    (error: unknown) => error,
  )
  expect(thrown).toBeInstanceOf(StageFailure)
  return (thrown as StageFailure).error
}
