// Says what a simulated world has broken of what is promised, one line for each; each names its invariant by the number that
// the list of promises gives it.
import { streamsOf, violations } from '../../src/checker/violations.ts'
import { type ExecutionEvent, executionStream } from '../../src/domain/execution/events.ts'
import { isOpen } from '../../src/domain/execution/state.ts'
import { isForWorkers } from '../../src/domain/execution/work.ts'
import type { RecordedEvent } from '../../src/domain/message.ts'
import type { Told } from './clients.ts'
import { faultsOfSnapshots } from './snapshots.ts'
import type { World } from './world.ts'

type Recorded = RecordedEvent<ExecutionEvent>

export async function judge(world: World): Promise<string[]> {
  const { log, observer } = world
  const events = log.events
  return [
    ...observer.faults,
    ...violations(events, { healed: true }),
    ...(await stuck(world)),
    ...faultsOfAnswers(world.clients.told, events),
    ...faultsOfEffects(world),
    ...(await faultsOfWork(world)),
    ...faultsOfProcesses(world),
    ...(await faultsOfSnapshots(world)),
  ]
}

/** What is open although there was time enough, and everything that could hold it up. */
async function stuck({ observer, shared, clients, hasNoEnd }: World): Promise<string[]> {
  const open = (await shared?.broker.open()) ?? []
  const letters = (await shared?.broker.dead()) ?? []
  if (hasNoEnd) return ['invariant 8: the same happens over and over']
  const lines: string[] = clients.busy > 0 ? [`invariant 8: ${clients.busy} clients wait for an answer`] : []
  for (const [id, state] of observer.runs) {
    if (!isOpen(state)) continue
    const stages = state.stages.map((stage, at) => {
      const attempt = 'attempt' in stage ? ` ${stage.attempt}` : ''
      return `${state.run.definition.stages[at]!.id} ${stage.status}${attempt}`
    })
    const queued = open.filter((work) => work.startsWith(executionStream(id))).length
    const dead = letters.filter(({ executionId }) => executionId === id).length
    const where = `${queued} in the queue, ${dead} dead letters`
    lines.push(`${executionStream(id)}: invariant 8: it is stuck, ${state.status}: ${stages.join(', ')}; ${where}`)
  }
  return lines
}

/** What was acknowledged is there once; what was refused is not; what is not known is there once or not at all. */
function faultsOfAnswers(told: readonly Told[], events: readonly RecordedEvent[]): string[] {
  const ofActor = Map.groupBy(events, ({ metadata }) => metadata.actor)
  const batches = (actor: string) => new Set(ofActor.get(actor)?.map(({ metadata }) => metadata.commandId)).size
  const streams = streamsOf(events)
  const faults = [...Map.groupBy(told, ({ actor }) => actor)].flatMap(([actor, answers]) => {
    const [{ kind }] = answers as [Told]
    const isOnce = kind === 'start' || kind === 'cancel' || kind === 'signal'
    const deliveries = answers.reduce((sum, answer) => sum + answer.deliveries, 0)
    const most = answers.every(({ result }) => result === 'rejected') && deliveries === answers.length ? 0 : deliveries
    const found = batches(actor)
    if (found <= (isOnce ? Math.min(most, 1) : most)) return []
    return [
      `invariant 4: ${kind} by ${actor} was answered ${answers.map(({ result }) => result)} and is there ${found} times`,
    ]
  })
  for (const { kind, executionId, result, position, id, actor } of told) {
    if (result !== 'ok' || executionId === '') continue
    const stream = streams.get(executionStream(executionId))
    const isThere = stream?.some((event) => event.position === position) && (id === undefined || id === executionId)
    if (!isThere) faults.push(`invariant 4: ${kind} by ${actor} was told position ${position}, where nothing of it is`)
  }
  return [...faults, ...faultsOfStarts(told)]
}

/** A key is one run: whoever asks again is answered as the first time, and another body is refused. */
function faultsOfStarts(told: readonly Told[]): string[] {
  const accepted = told.filter(({ kind, result }) => kind === 'start' && result === 'ok')
  return [...Map.groupBy(accepted, ({ executionId }) => executionId)].flatMap(([id, answers]) => {
    const different = new Set(answers.map(({ body, position }) => `${body} ${position}`)).size
    return different === 1 ? [] : [`invariant 5: the key of ${id} was answered in ${different} ways`]
  })
}

/** An attempt acts once at most, and only where the log says that this worker has begun it. */
function faultsOfEffects({ effects, log }: World): string[] {
  const faults: string[] = []
  const begun = new Map<string, number>()
  for (const { stream, type, data, position } of log.events as readonly Recorded[])
    if (type === 'StageStarted') begun.set(`${stream} ${data.stage} ${data.attempt} ${data.worker}`, position)
  const seen = new Set<string>()
  for (const { execution, stage, attempt, worker, head } of effects) {
    const name = `${executionStream(execution)} ${stage} ${attempt}`
    if (seen.has(name)) faults.push(`invariant 13: ${name} acted more than once`)
    seen.add(name)
    const at = begun.get(`${name} ${worker}`)
    if (at === undefined || at > head) faults.push(`invariant 14: ${name} acted at ${worker}, where it had not begun`)
  }
  for (const { stream, type, data } of log.events as readonly Recorded[]) {
    if (type !== 'StageCompleted' || (data.output as { acted?: true } | null)?.acted === undefined) continue
    const name = `${stream} ${data.stage} ${data.attempt}`
    if (!seen.has(name)) faults.push(`invariant 14: ${name} completed and did nothing`)
  }
  return faults
}

/** Work is a function of the log: none that it does not say, and none that has come to nothing but as a dead letter. */
async function faultsOfWork({ log, observer: { published }, shared }: World): Promise<string[]> {
  const scheduled = new Map<string, string>()
  const done = new Set<string>()
  for (const { stream, type, data, revision } of log.events as readonly Recorded[]) {
    if (type === 'StageScheduled' && isForWorkers(data))
      scheduled.set(`${stream}:${revision}:0`, `${stream} ${data.stage} ${data.attempt}`)
    if (type === 'StageStarted') done.add(`${stream} ${data.stage} ${data.attempt}`)
  }
  const strange = [...published.keys()].filter((id) => !scheduled.has(id))
  const dead = new Set((await shared?.broker.dead())?.map(({ id }) => id))
  const open = (await shared?.broker.open()) ?? []
  const unseen = [...scheduled].filter(([id, attempt]) => done.has(attempt) && !published.has(id))
  return [
    ...strange.map((id) => `invariant 26: the work ${id} went out, and nothing in the log says so`),
    ...unseen.map(([id]) => `invariant 26: the work ${id} was done and never went out`),
    ...[...dead].map((id) => `invariant 26: the work ${id} is a dead letter, and nothing was wrong with it`),
    ...open.map((id) => `invariant 26: the work ${id} is still in the queue`),
  ]
}

const faultsOfProcesses = ({ processes }: World): string[] =>
  processes.filter(({ alive, up }) => alive || up).map(({ name }) => `invariant 21: ${name} does not stop`)
