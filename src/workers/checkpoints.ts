import type { Json } from '../domain/message.ts'
import { toPlainJson } from './plain-json.ts'

const CHECKPOINT = {
  name: 'CHECKPOINT',
  what: 'the checkpoint',
  advice: 'save how far the work is, and keep what it works on elsewhere',
} as const

/**
 * The checkpoints of one attempt: saved one after another, in the order they were asked for, each as it was at that moment.
 * `save` resolves once the log has it, and rejects where it was refused; a refused one uses no number up.
 */
export function createCheckpoints(save: (state: Json, sequence: number) => Promise<void>) {
  let sequence = 0
  let last: Promise<void> = Promise.resolve()
  return {
    async checkpoint(state: Json): Promise<void> {
      const plain = toPlainJson(state, CHECKPOINT)
      const saved = last.then(async () => {
        await save(plain, sequence + 1)
        sequence++
      })
      // Whoever asked hears of a failure; the next one is tried all the same.
      last = saved.catch(() => {})
      await saved
    },
    /** Resolves once nothing is being saved: an outcome must not overtake a checkpoint that nobody waited for. */
    async settled(): Promise<void> {
      await last
    },
  }
}
