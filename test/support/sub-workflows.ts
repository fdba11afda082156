import { expect, vi } from 'vitest'
import type { Json, RecordedEvent } from '../../src/domain/message.ts'
import { workflowDecider } from '../../src/domain/workflow/decide.ts'
import type { CompiledStage, CompiledWorkflow } from '../../src/domain/workflow/definition.ts'
import { workflowStream } from '../../src/domain/workflow/events.ts'
import type { EventStore } from '../../src/ports/event-store.ts'
import { type Engine, told } from './engine.ts'
import { AT, stage } from './executions.ts'

/** A stage whose work is a run of the workflow `child`, unless `with` names another. */
export const calling = (
  id: string,
  input: { readonly [key: string]: Json } = {},
  overrides: Partial<CompiledStage> = {},
): CompiledStage => stage(id, { uses: 'workflow', with: { workflow: 'child', ...input }, ...overrides })

/** Registers what is compiled already: the syntax still refuses `uses: workflow`. */
export async function register(
  { handle }: Pick<Engine, 'handle'>,
  definition: CompiledWorkflow,
  inputSchema?: { readonly [key: string]: Json },
): Promise<void> {
  const { name } = definition
  const schema = inputSchema === undefined ? {} : { inputSchema }
  const data = {
    namespace: 'default',
    name,
    source: {},
    definition,
    fingerprint: JSON.stringify(definition),
    ...schema,
  }
  const context = { namespace: 'default', correlationId: name, actor: 'user:ada', at: AT }
  await handle(workflowDecider, workflowStream('default', name), { type: 'RegisterWorkflow', data }, context)
}

export const retire = ({ handle }: Pick<Engine, 'handle'>, name: string) =>
  handle(
    workflowDecider,
    workflowStream('default', name),
    { type: 'RetireWorkflow', data: { name, reason: 'old' } },
    { namespace: 'default', correlationId: name, actor: 'user:ada', at: AT },
  )

type Started = Extract<RecordedEvent, unknown> & {
  data: { parent?: { executionId: string; stage: string; attempt: number } }
}

/** The runs that do the work of stages of a run, in the order of the log. */
export async function childrenOf(store: EventStore, parent: string): Promise<string[]> {
  const found: string[] = []
  for await (const events of store.readAll({ prefixes: ['execution-'] }))
    for (const event of events as readonly Started[])
      if (event.type === 'ExecutionStarted' && event.data.parent?.executionId === parent)
        found.push(event.stream.slice('execution-'.length))
  return found
}

/** The one run that a run has started, once it is there. */
export const childOfRun = async (store: EventStore, parent: string): Promise<string> =>
  vi.waitFor(
    async () => {
      const [child] = await childrenOf(store, parent)
      if (child === undefined) throw new Error('it has started none')
      return child
    },
    { timeout: 5_000 },
  )

export const ends = (engine: Engine, id: string, type: string) =>
  vi.waitFor(async () => expect(told(await engine.history(id)).at(-1)).toBe(type), { timeout: 5_000 })
export const reaches = (engine: Engine, id: string, line: string) =>
  vi.waitFor(async () => expect(told(await engine.history(id))).toContain(line), { timeout: 5_000 })

/** The data of the only event of that type. */
export async function only(engine: Engine, id: string, type: string): Promise<unknown> {
  const found = (await engine.history(id)).filter((event) => event.type === type)
  expect(found).toHaveLength(1)
  return found[0]!.data
}
