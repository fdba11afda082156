import { Rejected } from '../rejected.ts'
import type { StartExecution } from './commands.ts'
import type { Concurrency } from './events.ts'
import { ExpressionFailed } from './expression.ts'
import { resolveValues } from './template.ts'

type Beginning = Pick<
  StartExecution,
  'definition' | 'executionId' | 'workflow' | 'version' | 'namespace' | 'input' | 'trigger'
>

/** Longer than any name that a person would give; the group's name stands in events. */
const MAX_GROUP_LENGTH = 255

/**
 * The group of a run, its name resolved from what the run is started with; undefined where its workflow has none.
 * @throws Rejected INPUT_INVALID where the input gives no name
 */
export function concurrencyOf(beginning: Beginning): Concurrency | undefined {
  const { definition, executionId: id, workflow, version, namespace, input, trigger } = beginning
  const { concurrency } = definition
  if (concurrency === undefined) return undefined
  const scope = {
    input,
    matrix: {},
    stages: {},
    execution: { id, workflow, version, namespace, nominalAt: trigger.nominalAt ?? null },
  }
  return { ...concurrency, group: named(() => resolveValues({ group: concurrency.group }, scope).group) }
}

function named(resolve: () => unknown): string {
  try {
    const value = resolve()
    const group = typeof value === 'number' ? String(value) : value
    if (typeof group === 'string' && group !== '' && group.length <= MAX_GROUP_LENGTH) return group
    throw invalid(`it is to be a text of 1 to ${MAX_GROUP_LENGTH} characters`)
  } catch (error) {
    if (error instanceof ExpressionFailed) throw invalid(error.message)
    throw error
  }
}

const invalid = (why: string): Rejected =>
  new Rejected('INPUT_INVALID', `with this input the workflow's concurrency group has no name: ${why}`)
