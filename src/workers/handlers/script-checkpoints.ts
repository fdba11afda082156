import type { StageContext } from '../../ports/handler.ts'
import { readWritten } from './script-files.ts'
import { toStageError } from './stage-error.ts'

const LOOK_EVERY_MS = 500

/**
 * Saves what a script writes to MILLRACE_CHECKPOINT: it is looked at twice a second, and once more when the script has ended,
 * so that the last state of one that fails is kept. What cannot be saved is said in the stage's log; the script goes on.
 */
export function followCheckpoints(path: string, context: Pick<StageContext, 'checkpoint' | 'log'>) {
  let seen: string | undefined
  let looking: Promise<void> | undefined

  async function look(isLast: boolean): Promise<void> {
    try {
      const state = await readWritten(path, 'CHECKPOINT')
      const text = JSON.stringify(state)
      if (state === undefined || text === seen) return
      await context.checkpoint(state)
      seen = text
    } catch (error) {
      // It may be half written now, and whole the next time.
      if (isLast) context.log(`the last checkpoint was not saved: ${toStageError(error).message}`)
    }
  }

  const timer = setInterval(() => {
    looking ??= look(false).finally(() => {
      looking = undefined
    })
  }, LOOK_EVERY_MS)

  return {
    async stop(): Promise<void> {
      clearInterval(timer)
      await looking
      await look(true)
    },
  }
}
