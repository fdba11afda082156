import type { Json } from '../domain/message.ts'
import { StageFailure } from '../ports/handler.ts'
import type { StageDocuments } from '../ports/stage-reports.ts'
import { toPlainJson } from './plain-json.ts'

const GENERATED = {
  name: 'GENERATED',
  what: 'the map of generated stages',
  advice: 'generate fewer, or keep what they work on elsewhere and name it in `with`',
} as const

/** Gathers the stages that one attempt generates; they go out with its outcome. */
export function createGeneratedStages() {
  let gathered: StageDocuments = {}
  return {
    generate(stages: StageDocuments): void {
      const plain = toPlainJson({ ...gathered, ...stages }, GENERATED) as { [id: string]: Json }
      const twice = Object.keys(stages).find((id) => Object.hasOwn(gathered, id))
      if (twice !== undefined) {
        const message = `the stage ${JSON.stringify(twice)} is generated twice`
        throw new StageFailure({ code: 'GENERATED_INVALID', message, retryable: false })
      }
      gathered = plain
    },
    /** What was gathered, as a member of the report; nothing where there is none. */
    reported: (): { generated?: StageDocuments } => (Object.keys(gathered).length === 0 ? {} : { generated: gathered }),
  }
}
