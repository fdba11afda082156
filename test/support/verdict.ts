// What clients were told and what stages did to the world, held against the log.
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { streamsOf } from '../../src/checker/violations.ts'
import type { ExecutionEvent } from '../../src/domain/execution/events.ts'
import { executionStream } from '../../src/domain/execution/events.ts'
import type { RecordedEvent } from '../../src/domain/message.ts'
import type { LoadRun } from './load.ts'

type Recorded = RecordedEvent<ExecutionEvent>

const endOf: Readonly<Record<string, string>> = {
  ExecutionCompleted: 'completed',
  ExecutionFailed: 'failed',
  ExecutionCancelled: 'cancelled',
}

/** What was acknowledged is there once and ended as it had to; what is not known is there once or not at all. */
export function faultsOfRuns(runs: readonly LoadRun[], events: readonly RecordedEvent[]): readonly string[] {
  // What a run starts itself carries its labels, and is nobody else's.
  const starts = (events as readonly Recorded[])
    .filter((event) => event.type === 'ExecutionStarted')
    .filter(({ data }) => data.parent === undefined)
  const streamsOfKey = Map.groupBy(starts, ({ data }) => data.labels.key ?? 'none')
  const known = new Set(runs.map(({ key }) => key))
  const strangers = [...streamsOfKey.keys()].filter((key) => !known.has(key)).map((key) => `nobody started ${key}`)
  const streams = streamsOf(events)
  const faults = runs.flatMap((run) => {
    const count = streamsOfKey.get(run.key)?.length ?? 0
    const least = run.started === 'ok' ? 1 : 0
    const most = run.started === 'failed' || run.started === 'refused' ? 0 : 1
    if (count < least || count > most) return [`${run.key} was answered ${run.started} and is there ${count} times`]
    return count === 0 ? [] : faultsOfEnd(run, streams.get(executionStream(run.id)) ?? [])
  })
  return [...strangers, ...faults]
}

function faultsOfEnd(run: LoadRun, events: readonly RecordedEvent[]): readonly string[] {
  const end = endOf[events.at(-1)?.type ?? ''] ?? 'open'
  const expected =
    run.cancelled === 'ok' ? ['cancelled'] : run.cancelled === 'unknown' ? ['cancelled', ...run.ends] : run.ends
  if (expected.includes(end)) return []
  return [`${run.key} (${run.id}), a ${run.workflow}, is ${end} and should be ${expected.join(' or ')}`]
}

export type Effect = {
  readonly execution: string
  readonly stage: string
  readonly attempt: number
  /** Milliseconds since 1970. */
  readonly atMs: number
}

export async function readEffects(folder: string): Promise<readonly Effect[]> {
  const files = await readdir(folder)
  const texts = await Promise.all(files.map((file) => readFile(join(folder, file), 'utf8')))
  return texts
    .flatMap((text) => text.split('\n').filter((line) => line !== ''))
    .map((line) => {
      const [execution = '', stage = '', attempt, seconds] = line.split(' ')
      return {
        execution,
        stage,
        attempt: Number(attempt),
        atMs: Math.floor(Number(seconds?.replace(',', '.')) * 1_000),
      }
    })
}

/** An attempt acts once at most, only where the log has scheduled it, and never after its stage has completed. */
export function faultsOfEffects(effects: readonly Effect[], events: readonly RecordedEvent[]): readonly string[] {
  const name = ({ execution, stage, attempt }: Omit<Effect, 'atMs'>) => `${execution} ${stage} ${attempt}`
  const scheduled = new Set<string>()
  const completed = new Map<string, { attempt: number; atMs: number }>()
  const faults: string[] = []
  const acted = new Set(effects.map(name))
  for (const { stream, type, data, at } of events as readonly Recorded[]) {
    const execution = stream.slice(stream.indexOf('-') + 1)
    if (type === 'StageScheduled' && data.handler === 'shell') scheduled.add(name({ execution, ...data }))
    if (type !== 'StageCompleted') continue
    completed.set(`${execution} ${data.stage}`, { attempt: data.attempt, atMs: Date.parse(at) })
    const attempt = name({ execution, ...data })
    if (scheduled.has(attempt) && !acted.has(attempt)) faults.push(`${attempt} completed and did nothing`)
  }
  const seen = new Set<string>()
  for (const effect of effects) {
    const attempt = name(effect)
    if (seen.has(attempt)) faults.push(`${attempt} acted more than once`)
    seen.add(attempt)
    if (!scheduled.has(attempt)) faults.push(`${attempt} acted and was never scheduled`)
    const end = completed.get(`${effect.execution} ${effect.stage}`)
    if (end && (effect.attempt > end.attempt || effect.atMs > end.atMs))
      faults.push(`${attempt} acted after attempt ${end.attempt} had completed`)
  }
  return faults
}
