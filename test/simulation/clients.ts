// Whoever uses a simulated world from outside: they start runs and act on them over a network that loses and doubles what it
// carries, and remember what they were told.

import type { App } from '../../src/app.ts'
import { executionIdFor } from '../../src/commands/fingerprint.ts'
import { type Execution, isOpen } from '../../src/domain/execution/state.ts'
import { Rejected } from '../../src/domain/rejected.ts'
import { gate, LATE_MS, latencyOf } from './gates.ts'
import type { ActPlan, Plan } from './plan.ts'
import { isInjected, type Process, type Surroundings } from './processes.ts'
import { workflowName } from './workflows.ts'

type Caller = { readonly namespace: string; readonly actor: string; readonly nowMs: number }
type Answered<T> =
  | { readonly result: 'ok'; readonly value: T }
  | { readonly result: 'rejected'; readonly code: string }
  | { readonly result: 'unknown' | 'unsent' }

/** One request as its client knows it. `deliveries` is how often it may have arrived, which the client does not know. */
export type Told = {
  readonly kind: string
  readonly actor: string
  readonly executionId: string
  /** Of a start: the body, as text; the same key may come with another. */
  readonly body?: string
  readonly result: 'ok' | 'rejected' | 'unknown' | 'unsent'
  readonly code?: string
  readonly id?: string
  readonly position?: number
  readonly deliveries: number
}

const PATIENCE_MS = 20_000
const DOUBLED_WITHIN_MS = 10_000
const AGAIN_AFTER_MS = 3_000
const NAMESPACE = 'default'
/** The pool that stages of `random-runs.ts` ask, and the schedule of a plan that has one. */
export const POOL = 'p'
const SCHEDULE = 'now-and-then'

const idOfRun = ({ runs }: Plan, index: number): string =>
  executionIdFor(NAMESPACE, workflowName(runs[index]!.workflow), keyOf(index))
const keyOf = (index: number): string => `key-${index}`

export type Clients = ReturnType<typeof createClients>

export function createClients(around: Surroundings, processes: () => readonly Process[]) {
  const { plan, network, observer } = around
  const { scheduler, faults, chance } = network
  const told: Told[] = []
  let busy = 0

  /** Sends a request, and waits for the answer as long as a client does. */
  async function request<T>(actor: string, perform: (app: App, caller: Caller) => Promise<T>) {
    let deliveries = 0
    const able = processes().filter(({ up, roles }) => up && roles.includes('engine'))
    if (able.length === 0) return { answer: { result: 'unsent' } as Answered<T>, deliveries }
    const deliver = (afterMs: number): Promise<Answered<T>> =>
      new Promise((resolve) => {
        const process = chance.pick(able)
        deliveries++
        scheduler.schedule(process, afterMs, () => {
          const { app } = process
          perform(app, { namespace: NAMESPACE, actor, nowMs: app.clock.now() }).then(
            (value) => resolve({ result: 'ok', value }),
            (error) => resolve(answerTo(error)),
          )
        })
      })
    const lost = gate(network, undefined, PATIENCE_MS).then(() => ({ result: 'unknown' }) as Answered<T>)
    if (faults.befalls('request-doubled')) void deliver(chance.below(DOUBLED_WITHIN_MS))
    const answered = faults.befalls('request-lost') ? lost : deliver(latencyOf(network))
    const answer = await Promise.race([answered, lost])
    await gate(network, undefined)
    return { answer: faults.befalls('answer-lost') ? await lost : answer, deliveries }
  }

  /** What the API answers with a problem. */
  function answerTo(error: unknown): Answered<never> {
    if (error instanceof Rejected) return { result: 'rejected', code: error.code }
    if (!isInjected(error)) observer.accuse(`unexpected: a client's request fails: ${(error as Error).stack ?? error}`)
    return { result: 'unknown' }
  }

  async function note<T extends object>(
    about: Pick<Told, 'kind' | 'actor' | 'executionId' | 'body'>,
    perform: (app: App, caller: Caller) => Promise<T>,
  ): Promise<Told['result']> {
    const { answer, deliveries } = await request(about.actor, perform)
    const { value = {}, ...rest } = answer as { value?: object } & Answered<T>
    const { id, position } = value as { id?: string; position?: number }
    const said = { ...(id === undefined ? {} : { id }), ...(position === undefined ? {} : { position }) }
    told.push({ ...about, ...rest, ...said, deliveries } as Told)
    return answer.result
  }

  /** Asks until there is an answer, with the same key, so that the run is there once. */
  async function start(index: number, isOther: boolean): Promise<void> {
    const { workflow, yes, priority } = plan.runs[index]!
    const body = {
      workflow: workflowName(workflow),
      input: { yes, list: ['x', 'y'].slice(index % 2) },
      priority: isOther ? 50 : priority,
      labels: { key: keyOf(index) },
    }
    const about = { kind: 'start', actor: `user:${keyOf(index)}`, executionId: idOfRun(plan, index) }
    for (;;) {
      const result = await note({ ...about, body: JSON.stringify(body) }, ({ commands }, caller) =>
        commands.startExecution(caller, body, keyOf(index)),
      )
      if (result === 'ok' || result === 'rejected') return
      await gate(network, undefined, AGAIN_AFTER_MS)
    }
  }

  async function resize(number: number, slots: number): Promise<void> {
    const about = { kind: 'resize', actor: `user:act-${number}`, executionId: '' }
    await note(about, ({ commands }, caller) => commands.definePool(caller, POOL, { slots }))
  }

  /** Asks until it is answered: a schedule that went on would keep the world from its end. */
  async function tellSchedule(kind: string, perform: (app: App, caller: Caller) => Promise<object>): Promise<void> {
    for (;;) {
      const result = await note({ kind, actor: 'user:scheduler', executionId: '' }, perform)
      if (result === 'ok' || result === 'rejected') return
      await gate(network, undefined, AGAIN_AFTER_MS)
    }
  }

  async function defineSchedule({
    workflow,
    everyMs,
    jitterMs,
    ...rest
  }: NonNullable<Plan['schedule']>): Promise<void> {
    const input = { yes: true, list: ['x'] }
    const body = { workflow: workflowName(workflow), input, every: everyMs, jitter: jitterMs, ...rest }
    await tellSchedule('define', ({ commands }, caller) => commands.schedules.define(caller, SCHEDULE, body))
  }

  async function act({ run, kind, pick }: ActPlan, number: number): Promise<void> {
    if (kind === 'again' || kind === 'other') return start(run, kind === 'other')
    if (kind === 'resize') return resize(number, 1 + (pick % 3))
    const executionId = idOfRun(plan, run)
    const stage = stageFor(observer.runs.get(executionId), pick)
    const about = { kind, actor: `user:act-${number}`, executionId }
    await note(about, ({ commands: { control } }, caller) => {
      switch (kind) {
        case 'signal':
          return control.signal(caller, executionId, 'go', { n: pick }, `signal-${number}`)
        case 'approve':
        case 'reject':
          return control[kind](caller, executionId, stage, {})
        case 'retry':
          return control.retryStage(caller, executionId, stage, {})
        case 'skip':
          return control.skipStage(caller, executionId, stage, {})
        case 'fail':
          return control.failStage(caller, executionId, stage, {})
        default:
          return control[kind](caller, executionId, {})
      }
    })
  }

  function later(atMs: number, what: () => Promise<void>): void {
    busy++
    scheduler.schedule(undefined, atMs, () => {
      void what().then(() => busy--)
    })
  }

  for (const [index, { atMs }] of plan.runs.entries()) later(atMs, () => start(index, false))
  for (const [number, one] of plan.acts.entries()) later(one.atMs, () => act(one, number))
  const { schedule } = plan
  const defined = Promise.withResolvers<void>()
  if (schedule) later(0, () => defineSchedule(schedule).then(defined.resolve))

  /** Twice, since what defined it may have been on its way for longer than its client waited. */
  async function removeSchedule(): Promise<void> {
    await defined.promise
    const remove = ({ commands }: App, caller: Caller) => commands.schedules.remove(caller, SCHEDULE, {})
    await tellSchedule('remove', remove)
    await gate(network, undefined, LATE_MS)
    await tellSchedule('remove', remove)
  }

  return {
    endSchedule(): void {
      if (schedule) later(0, removeSchedule)
    },
    told: told as readonly Told[],
    /** How many of them still have something to do. */
    get busy() {
      return busy
    },
    note,
  }
}

/** A stage that waits for somebody where there is one, and any other now and then. */
function stageFor(state: Execution | undefined, pick: number): string {
  if (state === undefined || state.status === 'none') return 's0'
  const { stages } = state.run.definition
  const waiting = isOpen(state) && pick % 5 > 0 ? stages.filter((_, at) => state.stages[at]?.status === 'waiting') : []
  const among = waiting.length > 0 ? waiting : stages
  return among[pick % among.length]!.id
}
