// What happens next in a simulated world, and when: one step at a time, in an order that follows from the seed.
import type { Chance } from '../support/chance.ts'

/** Whose step it is. What has died takes no more steps; what is stopped takes them when it goes on. */
export interface Owner {
  readonly name: string
  alive: boolean
  /** Takes no step before this, in milliseconds of the world. */
  stoppedUntilMs: number
}

type Step = { atMs: number; readonly order: number; readonly owner: Owner | undefined; readonly run: () => void }

export type Scheduler = {
  /** Milliseconds since the world began; they never jump. */
  readonly nowMs: number
  readonly steps: number
  /** Whose step is being taken. */
  readonly current: Owner | undefined
  /** Takes the step `afterMs` from now, if its owner lives to see it; the answer cancels it. Steps of one time come in any order. */
  schedule(owner: Owner | undefined, afterMs: number, run: () => void): () => void
  /** Takes steps until `isOver`, or there are none. */
  run(isOver: () => boolean): Promise<void>
}

export function createScheduler(chance: Chance): Scheduler {
  const heap = new StepHeap()
  let nowMs = 0
  let steps = 0
  let current: Owner | undefined

  function take(step: Step): boolean {
    const { owner } = step
    if (owner && !owner.alive) return false
    if (owner && owner.stoppedUntilMs > step.atMs) {
      heap.push({ ...step, atMs: owner.stoppedUntilMs })
      return false
    }
    nowMs = Math.max(nowMs, step.atMs)
    current = owner
    steps++
    step.run()
    return true
  }

  return {
    get nowMs() {
      return nowMs
    },
    get steps() {
      return steps
    },
    get current() {
      return current
    },
    schedule(owner, afterMs, run) {
      let due = true
      const once = () => {
        if (due) run()
      }
      heap.push({ atMs: nowMs + Math.max(Math.ceil(afterMs), 0), order: chance.next(), owner, run: once })
      return () => {
        due = false
      }
    },
    async run(isOver) {
      while (!isOver()) {
        const step = heap.pop()
        if (step === undefined) return
        if (take(step)) await settled()
      }
    },
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/**
 * Resolves once nothing goes on by itself any more: by the end of the first turn what waited for nothing outside has run, and
 * by the end of the second also what had asked for a turn of its own, as a worker does.
 */
async function settled(): Promise<void> {
  await turn()
  await turn()
}

/** Steps by time, and by chance where that is the same. */
class StepHeap {
  readonly #steps: Step[] = []

  push(step: Step): void {
    const steps = this.#steps
    let place = steps.push(step) - 1
    while (place > 0) {
      const parent = (place - 1) >> 1
      if (isBefore(steps[parent]!, step)) break
      steps[place] = steps[parent]!
      place = parent
    }
    steps[place] = step
  }

  pop(): Step | undefined {
    const steps = this.#steps
    const first = steps[0]
    const last = steps.pop()
    if (last === undefined || last === first) return first
    let place = 0
    for (;;) {
      let child = 2 * place + 1
      if (child + 1 < steps.length && isBefore(steps[child + 1]!, steps[child]!)) child++
      if (child >= steps.length || isBefore(last, steps[child]!)) break
      steps[place] = steps[child]!
      place = child
    }
    steps[place] = last
    return first
  }
}

const isBefore = (a: Step, b: Step): boolean => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)
