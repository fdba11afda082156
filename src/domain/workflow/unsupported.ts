import type { Json } from '../message.ts'
import type { Fault } from '../rejected.ts'
import type { Members } from './document-faults.ts'
import { plannedHandlers } from './handler-names.ts'

/** What the syntax knows and nothing runs yet is refused: a part that is ignored would surprise in a run. */
const fault = (pointer: string, what: string): Fault => ({ pointer, message: `${what} is not supported yet` })

/** Of a stage, or of the step that stands in for one. */
export function unsupportedHandler({ uses }: Members, pointer: string): readonly Fault[] {
  const unknownYet = plannedHandlers.some((planned) => planned === uses)
  return unknownYet ? [fault(`${pointer}/uses`, `the handler \`${uses}\``)] : []
}

/** A retry runs with what its stage asks for. */
export function unsupportedInRecovery(recover: Json | undefined, pointer: string): readonly Fault[] {
  if (typeof recover !== 'object' || recover === null || Array.isArray(recover)) return []
  return recover.resources === undefined ? [] : [fault(`${pointer}/resources`, '`resources` of a recovery')]
}
