// A log with many runs that have ended, as deciding makes it, written without anybody running them.
import type { EmbeddedEventStore } from '../src/adapters/event-store/embedded.ts'
import { newId } from '../src/commands/new-id.ts'
import type { ExecutionEvent } from '../src/domain/execution/events.ts'
import type { NewEvent } from '../src/domain/message.ts'
import { versionOf } from '../src/domain/upcast.ts'
import { decidedLog } from '../test/support/decided-log.ts'
import { completed, failed, stage, started, workflow } from '../test/support/executions.ts'

/** So many runs are under way at once, each in turn recording its next step. */
const TOGETHER = 256

const names = ['one', 'two', 'three', 'four', 'five']

/** What a run of five stages goes through, of every so many one that fails: the batches of its stream. */
function ways(): readonly (readonly (readonly ExecutionEvent[])[])[] {
  const definition = workflow(names.map((name, at) => stage(name, { needs: at === 0 ? [] : [names[at - 1]!] })))
  const good = decidedLog(definition, ...names.flatMap((name) => [started(name), completed(name)]))
  const bad = decidedLog(definition, started('one'), completed('one'), started('two'), failed('two'))
  return [...Array.from({ length: 9 }, () => good), bad]
}

export type Seeding = {
  readonly events: number
  /** When the first run started, and the time between two starts. */
  readonly from: number
  readonly everyMs: number
  readonly workflows: readonly string[]
}

/** Appends runs until there are so many events; answers how many runs that took. */
export async function seedLog(
  store: EmbeddedEventStore,
  { events, from, everyMs, workflows }: Seeding,
): Promise<number> {
  const all = ways()
  let written = 0
  let runs = 0
  const one = async (): Promise<void> => {
    while (written < events) {
      const number = runs++
      const id = newId()
      const batches = all[number % all.length]!
      written += batches.flat().length
      let revision: number | 'noStream' = 'noStream'
      for (const [step, batch] of batches.entries()) {
        const at = new Date(from + number * everyMs + step * 700).toISOString()
        const name = workflows[number % workflows.length]!
        ;({ revision } = await store.append(`execution-${id}`, revision, toNew(batch, at, id, name, number)))
      }
    }
  }
  await Promise.all(Array.from({ length: TOGETHER }, one))
  return runs
}

function toNew(
  batch: readonly ExecutionEvent[],
  at: string,
  id: string,
  workflowName: string,
  number: number,
): NewEvent[] {
  const metadata = { namespace: 'default', correlationId: id, commandId: newId(), actor: 'user:bench' }
  return batch.map((event) => {
    const { type } = event
    const data =
      event.type === 'ExecutionStarted'
        ? {
            ...event.data,
            executionId: id,
            workflow: workflowName,
            definition: { ...event.data.definition, name: workflowName },
            labels: { team: `team-${number % 20}` },
          }
        : event.data
    return { id: newId(), type, version: versionOf(type), at, data, metadata }
  })
}
