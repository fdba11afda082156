// A test that cannot run here says why; test/support/run.ts prints the reason beside its name.
import { spawnSync } from 'node:child_process'
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

/** Why a command cannot be run here, or undefined where it can. */
export function obstacle(command: string, args: readonly string[]): string | undefined {
  const { error, status, stderr } = spawnSync(command, args, { encoding: 'utf8' })
  if (error) return `${command} is not here: ${error.message}`
  return status === 0 ? undefined : `${command} does not work here: ${stderr.trim()}`
}
