// Once faults have stopped there are people who answer what runs ask of them, so that every run can come to its end.
import type { App } from '../../src/app.ts'
import { isOpen, type OpenExecution, type StageState } from '../../src/domain/execution/state.ts'
import type { Clients } from './clients.ts'
import { gate } from './gates.ts'
import type { Surroundings } from './processes.ts'

const EVERY_MS = 5_000

type Caller = Parameters<App['commands']['control']['pause']>[0]
type Doing = (app: App, caller: Caller) => Promise<object>

/** Looks after every open run for as long as the world lasts. */
export async function answerEverything({ observer, network }: Surroundings, clients: Clients): Promise<void> {
  for (let round = 0; ; round++) {
    await gate(network, undefined, EVERY_MS)
    for (const [executionId, state] of [...observer.runs]) {
      if (!isOpen(state)) continue
      const doing = helpFor(executionId, state, round)
      if (doing) await clients.note({ kind: 'help', actor: `user:helper-${round}`, executionId }, doing)
    }
  }
}

function helpFor(id: string, state: OpenExecution, round: number): Doing | undefined {
  if (state.status === 'paused') return ({ commands: { control } }, caller) => control.resume(caller, id, {})
  const { stages } = state.run.definition
  const asking = state.stages.flatMap((stage, at) =>
    stage.status === 'waiting' ? [{ stage, id: stages[at]!.id }] : [],
  )
  const helps = asking.map((one) => answerTo(id, one.id, one.stage, round)).filter((help) => help !== undefined)
  return helps[round % Math.max(helps.length, 1)]
}

function answerTo(
  id: string,
  stage: string,
  { waits }: StageState & { status: 'waiting' },
  round: number,
): Doing | undefined {
  switch (waits.for) {
    case 'timer':
      return undefined
    case 'signal':
      return ({ commands: { control } }, caller) =>
        control.signal(caller, id, waits.name, null, `help-${stage}-${round}`)
    case 'approval':
      return ({ commands: { control } }, caller) => control.approve(caller, id, stage, {})
    case 'person':
      return ({ commands: { control } }, caller) => {
        const choice = round % 3
        if (choice === 0) return control.retryStage(caller, id, stage, {})
        return choice === 1 ? control.skipStage(caller, id, stage, {}) : control.failStage(caller, id, stage, {})
      }
  }
}
