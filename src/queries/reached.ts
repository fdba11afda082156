import { setTimeout as delay } from 'node:timers/promises'
import type { Pool } from 'pg'
import { START } from '../ports/event-store.ts'
import { projections } from '../projections/all.ts'

const POLL_MS = 10
const NAMES = projections.map(({ name }) => name)

type Waiter = {
  readonly names: readonly string[]
  readonly position: number
  readonly untilMs: number
  answer(reached: boolean): void
  fail(error: unknown): void
}

type Reached = (position: number, waitMs: number, names?: readonly string[]) => Promise<boolean>

/**
 * Answers whether the named projections, or else all of them, have reached a position, however many ask, with one
 * question to PostgreSQL at a time.
 */
export function createReached(pool: Pool): Reached {
  let waiting: Waiter[] = []
  let polling = false

  const poll = async (): Promise<void> => {
    polling = true
    while (waiting.length > 0) {
      // Who comes while the question is under way waits for the next one, which is asked after it came.
      const asking = waiting
      waiting = []
      try {
        const positions = await readPositions(pool)
        waiting = [...asking.filter((waiter) => !settle(waiter, positions)), ...waiting]
      } catch (error) {
        for (const waiter of asking) waiter.fail(error)
      }
      if (waiting.length > 0) await delay(POLL_MS)
    }
    polling = false
  }

  return (position, waitMs, names = NAMES) =>
    new Promise((answer, fail) => {
      waiting.push({ names, position, untilMs: performance.now() + waitMs, answer, fail })
      if (!polling) void poll()
    })
}

/** A projection without a checkpoint has seen nothing yet. */
function settle({ names, position, untilMs, answer }: Waiter, positions: ReadonlyMap<string, number>): boolean {
  const reached = names.every((name) => (positions.get(name) ?? -Infinity) >= position)
  const over = reached || performance.now() >= untilMs
  if (over) answer(reached)
  return over
}

/** How far all of the named projections are at least; `START` where one has seen nothing. */
export async function positionOf(pool: Pool, names: readonly string[]): Promise<number> {
  const positions = await readPositions(pool)
  return Math.min(...names.map((name) => positions.get(name) ?? START))
}

async function readPositions(pool: Pool): Promise<ReadonlyMap<string, number>> {
  const { rows } = await pool.query<{ name: string; position: string }>({
    name: 'reached',
    text: 'SELECT name, position FROM checkpoints',
  })
  return new Map(rows.map(({ name, position }) => [name, Number(position)]))
}
