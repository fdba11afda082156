import type { Fault } from '../rejected.ts'
import type { Members } from './document-faults.ts'
import { plannedHandlers } from './handler-names.ts'

/** Members that the syntax knows and nothing runs yet. They are refused: a part that is ignored would surprise in a run. */
const inWorkflow = ['concurrency', 'labels', 'env', 'outputs']
const inStage = ['matrix', 'env', 'resources', 'runsOn', 'compensate', 'continueOnError', 'fallback', 'outputs']

const fault = (pointer: string, what: string): Fault => ({ pointer, message: `${what} is not supported yet` })

export function unsupportedInWorkflow(document: Members): readonly Fault[] {
  const faults = inWorkflow
    .filter((member) => document[member] !== undefined)
    .map((member) => fault(`/${member}`, `\`${member}\` of a workflow`))
  return document.onFailure === 'compensate' ? [...faults, fault('/onFailure', '`compensate`')] : faults
}

export function unsupportedInStage(stage: Members, pointer: string): readonly Fault[] {
  const faults = inStage
    .filter((member) => stage[member] !== undefined)
    .map((member) => fault(`${pointer}/${member}`, `\`${member}\` of a stage`))
  const unknownYet = plannedHandlers.some((planned) => planned === stage.uses)
  return unknownYet ? [...faults, fault(`${pointer}/uses`, `the handler \`${stage.uses}\``)] : faults
}
