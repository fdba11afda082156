// A test that cannot run here says why; test/support/run.ts prints the reason beside its name.
import type { TestContext } from 'vitest'

declare module 'vitest' {
  interface TaskMeta {
    skipReason?: string
  }
}

/** Skips the test where there is a reason. */
export function skipFor(reason: string | undefined, { task, skip }: TestContext): void {
  if (reason === undefined) return
  task.meta.skipReason = reason
  skip(reason)
}
