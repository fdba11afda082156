// Schedules in an engine whose clock the test turns, and what the log tells of them.
import { expect, vi } from 'vitest'
import { violations } from '../../src/checker/violations.ts'
import { createScheduleCommands, type ScheduleBody } from '../../src/commands/manage-schedules.ts'
import { createWorkflowCommands } from '../../src/commands/register-workflow.ts'
import type { ExecutionEventOf } from '../../src/domain/execution/events.ts'
import type { Json, RecordedEvent } from '../../src/domain/message.ts'
import { type ScheduleEvent, scheduleStream } from '../../src/domain/schedule/events.ts'
import { scheduleSchema } from '../../src/domain/schedule/schema.ts'
import type { EventStore } from '../../src/ports/event-store.ts'
import type { Handler } from '../../src/ports/handler.ts'
import type { Engine } from './engine.ts'
import { eventsOf } from './stores.ts'

const WITHIN = { timeout: 10_000 }

/** Over an engine, or over what the next one finds. */
export function scheduling({ handle, clock }: Pick<Engine, 'handle' | 'clock'>, store: EventStore) {
  const caller = () => ({ namespace: 'default', actor: 'user:ada', nowMs: clock.now() })
  const workflows = createWorkflowCommands(handle)
  const schedules = createScheduleCommands(handle)
  const told = (name = 'nightly') => toldOf(store, name)
  /** Until it holds; a timer that was set after its time is due at once, and waits for the clock to be looked at. */
  const until = (holds: () => Promise<void>) =>
    vi.waitFor(async () => {
      clock.advance(0)
      await holds()
    }, WITHIN)
  return {
    register: (more: { readonly [member: string]: Json } = {}, name = 'release') =>
      workflows.register(caller(), name, { name, stages: { work: { uses: 'work' } }, ...more }),
    retire: (name = 'release') => workflows.retire(caller(), name, {}),
    define: (more: { readonly [member: string]: unknown } = {}, name = 'nightly') =>
      schedules.define(caller(), name, bodyOf(more)),
    pause: (name = 'nightly') => schedules.pause(caller(), name, {}),
    resume: (name = 'nightly') => schedules.resume(caller(), name, {}),
    backfill: (from: string, to: string, maxConcurrent: number, name = 'nightly') =>
      schedules.backfill(caller(), name, { from: Date.parse(from), to: Date.parse(to), maxConcurrent }),
    told,
    /** Resolves once exactly this has been told of the schedule. */
    tells: (lines: readonly string[], name?: string) => until(async () => expect(await told(name)).toEqual(lines)),
    until,
    starts: () => startsIn(store),
  }
}

function bodyOf(more: { readonly [member: string]: unknown }): ScheduleBody {
  const timed = 'cron' in more || 'every' in more || 'at' in more
  return scheduleSchema.parse({ workflow: 'release', ...(timed ? {} : { cron: '0,15,30,45 * * * *' }), ...more })
}

export async function allEvents(store: EventStore): Promise<RecordedEvent[]> {
  const all: RecordedEvent[] = []
  for await (const events of store.readAll()) all.push(...events)
  return all
}

/** Resolves once the log breaks none of the promises; what a batch leaves open is part of them. */
export const holds = async (store: EventStore): Promise<void> => expect(violations(await allEvents(store))).toEqual([])

/** The starts of runs that schedules asked for. */
async function startsIn(store: EventStore): Promise<RecordedEvent<ExecutionEventOf<'ExecutionStarted'>>[]> {
  const all = (await allEvents(store)) as unknown as RecordedEvent<ExecutionEventOf<'ExecutionStarted'>>[]
  return all.filter(({ type, data }) => type === 'ExecutionStarted' && data.trigger.kind === 'schedule')
}

/** Without the definition: `fired 03:15`, `passed 03:30-04:00 3 overlap`. */
async function toldOf(store: EventStore, name: string): Promise<string[]> {
  const events = (await eventsOf(store, scheduleStream('default', name))) as RecordedEvent<ScheduleEvent>[]
  return events.flatMap((event) => line(event))
}

const short = (time: string): string => time.slice(11, 16)

function line(event: RecordedEvent<ScheduleEvent>): string[] {
  switch (event.type) {
    case 'ScheduleFired':
      return [`fired ${short(event.data.nominalAt)}${event.data.backfill === undefined ? '' : ' in a backfill'}`]
    case 'ScheduleQueued':
      return [`queued ${short(event.data.nominalAt)}${event.data.cancels ? ', cancels' : ''}`]
    case 'ScheduleTimesPassed': {
      const { from, to, count, reason } = event.data
      return [`passed ${short(from)}-${short(to)} ${count} ${reason}`]
    }
    case 'ScheduledRunEnded':
      return [`${event.data.outcome} ${short(event.data.nominalAt)}`]
    case 'ScheduledRunRefused':
      return [`refused ${short(event.data.nominalAt)} ${event.data.error.code}`]
    case 'ScheduleDefined':
      return []
    default:
      return [event.type]
  }
}

/** A handler whose attempts end at once, or when the test says so; and what it was given. */
export function workHandler(held = false) {
  const inputs: Json[] = []
  const going = new Map<string, () => void>()
  let most = 0
  const handler: Handler = {
    name: 'work',
    run({ executionId, input, signal }) {
      inputs.push(input as Json)
      if (!held) return Promise.resolve(null)
      return new Promise((resolve, reject) => {
        going.set(executionId, () => resolve(null))
        most = Math.max(most, going.size)
        signal.addEventListener('abort', () => {
          going.delete(executionId)
          reject(new Error('aborted'))
        })
      })
    },
  }
  return {
    handler,
    inputs,
    /** How many went on at once, at most. */
    most: () => most,
    /** Ends one that goes on, once there is one. */
    async finish(): Promise<void> {
      const [id, end] = await vi.waitFor(() => {
        const [first] = going
        expect(first).toBeDefined()
        return first!
      }, WITHIN)
      going.delete(id)
      end()
    },
  }
}
