import type { Fault } from '../rejected.ts'
import { isMembers, type Members } from './document-faults.ts'
import { type BuiltinHandler, isBuiltin } from './handler-names.ts'

const askedOf = {
  timeout: 'how long it waits is said in its `with`',
  retry: 'it has no attempts of its own',
  queue: 'no worker runs it',
  resources: 'it runs nothing while it waits',
  runsOn: 'no worker runs it',
}

/** What has no effect on the stages of a handler, and why. It is refused: who writes a member counts on it. */
export const withoutEffect: { readonly [handler in BuiltinHandler]: { readonly [member: string]: string } } = {
  shell: {},
  http: {},
  // The engine itself keeps the time of a wait.
  wait: {
    timeout: 'it takes as long as its `with` says, and at most the timeout of the workflow',
    retry: 'it has no attempts that could fail',
    queue: 'no worker runs it',
    resources: 'it runs nothing while it waits',
    runsOn: 'no worker runs it',
  },
  approval: askedOf,
  signal: askedOf,
  // The stages of the other run go to queues.
  workflow: { queue: 'no worker runs it', runsOn: 'no worker runs it' },
}

const retryIn = (holder: Members): Members => (isMembers(holder.retry) ? holder.retry : {})

/** Of a stage, or of the step that stands in for one. */
export function ineffectiveByHandler(step: Members, pointer: string): readonly Fault[] {
  const [handler, members] = Object.entries(withoutEffect).find(([name]) => name === step.uses) ?? ['', {}]
  return Object.entries(members)
    .filter(([member]) => step[member] !== undefined)
    .map(([member, why]) => ({
      pointer: `${pointer}/${member}`,
      message: `\`${member}\` has no effect on a ${handler}: ${why}`,
    }))
}

export function ineffectiveInStage(stage: Members, pointer: string, workflow: Members): readonly Fault[] {
  const faults = ineffectiveByHandler(stage, pointer)
  const paused = hasAttempts(stage) && retryIn(stage).backoff !== undefined
  return paused && !isRetried(stage, workflow) ? [...faults, pauseless(`${pointer}/retry/backoff`)] : faults
}

/** A backoff of the workflow has to be there for a stage at least. */
export function ineffectiveInWorkflow(workflow: Members): readonly Fault[] {
  if (retryIn(workflow).backoff === undefined) return []
  const stages = isMembers(workflow.stages) ? Object.values(workflow.stages) : []
  const isUsed = stages.some((stage) => isMembers(stage) && isRetried(stage, workflow))
  return isUsed ? [] : [pauseless('/retry/backoff')]
}

const hasAttempts = ({ uses }: Members): boolean => !(isBuiltin(uses) && 'retry' in withoutEffect[uses])

const isRetried = (stage: Members, workflow: Members): boolean =>
  hasAttempts(stage) && (retryIn(stage).maxAttempts ?? retryIn(workflow).maxAttempts ?? 1) !== 1

const pauseless = (pointer: string): Fault => ({
  pointer,
  message: '`backoff` has no effect where there is one attempt, as by default; say `maxAttempts`',
})
