import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { Json } from '../../src/domain/message.ts'
import type { StageContext } from '../../src/ports/handler.ts'
import { reapLeftovers } from '../../src/workers/handlers/processes.ts'
import { createShellHandler } from '../../src/workers/handlers/shell.ts'
import { stageContext } from './stage-context.ts'

/** Stands in variables of the program that no script may see. */
export const CANARY = 'canary-5f1b'

/** A place where a test may run scripts; afterwards nothing of it is left. */
export function shellStages(variables: Readonly<Record<string, string | undefined>> = {}) {
  const workDir = mkdtempSync(join(tmpdir(), 'millrace-shell-'))
  const instance = `test-${crypto.randomUUID()}`
  const environment = {
    ...process.env,
    MILLRACE_DATABASE: CANARY,
    SECRET_TOKEN: CANARY,
    BASH_ENV: '/nonexistent',
    ...variables,
  }
  const handler = createShellHandler({ workDir, instance, environment, graceMs: 5_000 })
  onTestFinished(async () => {
    await reapLeftovers(instance)
    rmSync(workDir, { recursive: true, force: true })
  })
  const prepare = (input: string | { [key: string]: Json }, given: Partial<StageContext> = {}) => {
    const stage = stageContext(typeof input === 'string' ? { run: input } : input, given)
    return { ...stage, run: () => handler.run(stage.context), workspace: join(workDir, stage.context.executionId) }
  }
  return { workDir, instance, prepare }
}

/** One stage in a place of its own. */
export const shellStage = (...given: Parameters<ReturnType<typeof shellStages>['prepare']>) => {
  const { workDir, instance, prepare } = shellStages()
  return { workDir, instance, ...prepare(...given) }
}
