// What becomes of a timer when its command comes to nothing.
import { setImmediate as turn } from 'node:timers/promises'
import { beforeEach, expect, it } from 'vitest'
import { createMemoryLeases } from '../../src/adapters/leases/memory.ts'
import { newId } from '../../src/commands/new-id.ts'
import type { ExecutionCommand } from '../../src/domain/execution/commands.ts'
import type { ExecutionEvent } from '../../src/domain/execution/events.ts'
import { Rejected } from '../../src/domain/rejected.ts'
import { createTimekeeper, type Issue } from '../../src/reactors/timekeeper.ts'
import { asRecorded } from '../support/as-recorded.ts'
import { silent } from '../support/engine.ts'
import { begun, tried } from '../support/execution-events.ts'
import { AT, later } from '../support/executions.ts'
import { ManualClock } from '../support/manual-clock.ts'

let clock: ManualClock
let issued: ExecutionCommand[]
beforeEach(() => {
  clock = new ManualClock(AT)
  issued = []
})

function aTimekeeper(issue: Issue) {
  const timekeeper = createTimekeeper({
    ...{ leases: createMemoryLeases(clock), clock, logger: silent, leaseCheckMs: 86_400_000 },
    issue: (about, command) => {
      issued.push(command)
      return issue(about, command)
    },
  })
  const take = async (...events: ExecutionEvent[]) => {
    for (const event of asRecorded([{ at: AT, events }])) timekeeper.apply({ ...event, id: newId() })
    await timekeeper.act(true)
  }
  return { take }
}

const retries = () => issued.filter(({ type }) => type === 'RetryStage').length

/** An hour, in steps that let what is issued be answered. */
async function anHour(): Promise<void> {
  for (let minute = 0; minute < 60; minute++) {
    clock.advance(60_000)
    await turn()
  }
}

it('keeps the timer that took the place of one whose command is refused', async () => {
  const { take } = aTimekeeper(async (_, { type }) => {
    if (type !== 'FailStage') return { events: [{}] }
    // While the timeout is on its way the attempt fails by itself, and another one is announced.
    await take(tried('build', 2, later(5_400_000), 0))
    throw new Rejected('ATTEMPT_STALE', 'attempt 1 of build is not under way')
  })
  await take(begun('build'))
  await anHour()
  expect(retries()).toBe(0)
  await anHour()
  expect(issued.map(({ type }) => type).filter((type) => type !== 'LoseStage')).toEqual(['FailStage', 'RetryStage'])
})

it('fires a timer again whose command has changed nothing, since what held it up may be gone', async () => {
  let isHeldUp = true
  const { take } = aTimekeeper(async () => ({ events: isHeldUp ? [] : [{}] }))
  await take(tried('build', 2, later(1_000), 1_000))
  clock.advance(1_000)
  await turn()
  expect(retries()).toBe(1)
  clock.advance(59_000)
  await turn()
  expect(retries()).toBe(1)
  isHeldUp = false
  await anHour()
  expect(retries()).toBe(2)
})
