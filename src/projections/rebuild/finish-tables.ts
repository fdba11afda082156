import { isAboutData } from '../checkpoint.ts'
import { BACKOFF_MS, pause } from '../retrying.ts'
import type { Failure } from './record.ts'

/** PostgreSQL has answered with an error of its own: to ask the same again gives the same. */
export const isTold = (error: unknown): boolean => /^[0-9A-Z]{5}$/.test((error as { code?: string }).code ?? '')

/**
 * Makes what tables lack, until nothing is left. What is left is asked for again after each, also where one failed: it may have
 * been made all the same. Answers why the rows do not fit, where that is so.
 */
export async function finishTables({
  left,
  make,
  signal,
}: {
  /** The statements that are left. */
  left(): Promise<readonly string[]>
  make(statement: string): Promise<unknown>
  readonly signal: AbortSignal
}): Promise<Failure | undefined> {
  for (;;) {
    const [statement] = await left()
    if (statement === undefined) return undefined
    try {
      await make(statement)
    } catch (error) {
      if (isAboutData(error as Error)) return { error: error as Error }
      if (!isTold(error)) throw error
      await pause(BACKOFF_MS.first, signal)
    }
  }
}
