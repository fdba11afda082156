import type { CompiledStage } from '../workflow/definition.ts'
import type { ExecutionEvent, StageError } from './events.ts'
import { evolve } from './evolve.ts'
import { isOpen, type OpenExecution, type StageState, stageOf } from './state.ts'

/** A failure that has not been decided on; `attempt` is 0 where none was scheduled. */
export type Failure = {
  readonly index: number
  readonly attempt: number
  readonly error: StageError
  /** No other attempt follows, whatever the policy says. */
  readonly final?: true
}

/** A decision is one append, and that has a limit of 1,000,000 bytes: this many of them may be attempts. */
const ROOM = 500_000
/** An event's metadata, ids and names. */
const AROUND_INPUT = 700

/**
 * A decision in the making: the events so far, the state that they lead to, and what is still to follow from them. `settle`
 * works that off, so that no part of the decision needs to know the others.
 */
export class Draft {
  readonly events: ExecutionEvent[] = []
  readonly at: string
  state: OpenExecution
  /** Stages that have ended, whose dependents have not been looked at. */
  readonly ended: number[] = []
  /** Stages of which an attempt is to be scheduled, if the run may. */
  readonly due: number[] = []
  readonly failed: Failure[] = []
  /** Stages that generated others, which may all have ended. */
  readonly groups: number[] = []
  /** Those of them that have just done so: nobody has looked at what they generated. */
  readonly expanded: number[] = []
  /** Whether what earlier decisions had no room for was looked at. */
  swept = false
  #over = false
  #hasAttempt = false
  #roomLeft = ROOM

  constructor(state: OpenExecution, at: string) {
    this.state = state
    this.at = at
  }

  emit(event: ExecutionEvent): void {
    if (this.#over) throw new Error(`${event.type} would come after the end of the run`)
    this.events.push(event)
    if (event.type === 'StagesGenerated') this.take(event.data)
    const next = evolve(this.state, event)
    if (isOpen(next)) this.state = next
    else this.#over = true
  }

  /** Whether one more attempt fits into the append that this decision becomes. One always does, so that the run goes on. */
  hasRoom(): boolean {
    return !this.#hasAttempt || this.#roomLeft > 0
  }

  /** Takes note of what else is in the append. */
  take(part: object): void {
    this.#roomLeft -= sizeOf(part)
  }

  takeAttempt(input: object): void {
    this.#hasAttempt = true
    this.#roomLeft -= AROUND_INPUT
    this.take(input)
  }

  get isOver(): boolean {
    return this.#over
  }

  stage(index: number): CompiledStage {
    return stageOf(this.state.run, index)
  }

  now(index: number): StageState {
    return this.state.stages[index]!
  }

  /** Of the stages that a group lets run at once, one runs no more. */
  leave(index: number): void {
    const { parent } = this.stage(index)
    if (parent !== undefined) this.groups.push(this.state.run.graph.indexOf(parent))
  }

  /** Whether the stage may begin an attempt now. What undoes a failed run does so even though that is ending. */
  mayStart(index: number): boolean {
    const { status } = this.state
    return status === 'running' || (status === 'cancelling' && this.stage(index).compensates !== undefined)
  }

  /** Whether the stage is being brought to an end, so that no attempt follows the one that is under way. */
  isEnding(index: number): boolean {
    const now = this.now(index)
    if (now.status === 'running' && now.stopping !== undefined) return true
    if (this.stage(index).compensates !== undefined) return false
    return this.state.status === 'cancelling' || this.state.failing !== false
  }
}

/** Runs of one version share the definition in memory, and so its size and that of what has no expressions in it. */
const sizes = new WeakMap<object, number>()

function sizeOf(part: object): number {
  const known = sizes.get(part)
  if (known !== undefined) return known
  const text = JSON.stringify(part)
  // No character takes more than three bytes.
  const bytes = /^[\x20-\x7e]*$/.test(text) ? text.length : 3 * text.length
  sizes.set(part, bytes)
  return bytes
}
