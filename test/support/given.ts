import { expect } from 'vitest'
import { executionDecider } from '../../src/domain/execution/decide.ts'
import type { Decider, DomainEvent } from '../../src/domain/message.ts'
import type { RejectionCode } from '../../src/domain/rejected.ts'
import { Rejected } from '../../src/domain/rejected.ts'
import { history } from './executions.ts'

type Outcome<E> = {
  /** Exactly these events; `then([])` is a repeat that changes nothing. */
  then(events: readonly E[]): void
  /** A refusal with this code; returns it, for a look at its message and faults. */
  thenRejected(code: RejectionCode): Rejected
}

/**
 * The one way deciders are tested: `given(decider, past).when(command).then(events)`. Events are compared as the JSON that
 * the log would hold, and the state is frozen, so that a decision which writes into it is found out.
 */
export function given<S, C, E extends DomainEvent>(
  decider: Decider<S, C, E>,
  events: readonly E[],
): { when(command: C): Outcome<E> } {
  const state = events.reduce(
    (folded, event) => deepFreeze(decider.evolve(folded, deepFreeze(event))),
    decider.initialState,
  )
  return {
    when: (command) => ({
      // biome-ignore lint/suspicious/noThenProperty: the sentence is given, when, then; nobody awaits it.
      then(expected) {
        expect(asStored(decider.decide(deepFreeze(command), state))).toEqual(asStored(expected))
      },
      thenRejected(code) {
        const rejection = refusal(() => decider.decide(deepFreeze(command), state))
        expect(rejection.code).toBe(code)
        return rejection
      },
    }),
  }
}

/** A run that these commands, each accepted, have led to. */
export const givenRun = (...commands: Parameters<typeof history>) => given(executionDecider, history(...commands))

function refusal(decide: () => readonly DomainEvent[]): Rejected {
  let events: readonly DomainEvent[]
  try {
    events = decide()
  } catch (error) {
    if (error instanceof Rejected) return error
    throw error
  }
  expect.fail(`expected a rejection, but it decided ${JSON.stringify(events.map(({ type }) => type))}`)
}

const asStored = (events: readonly DomainEvent[]): unknown => JSON.parse(JSON.stringify(events))

function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  // Typed arrays cannot be frozen; a state may keep some on its hot path.
  if (ArrayBuffer.isView(value)) return value
  Object.freeze(value)
  for (const part of Object.values(value)) deepFreeze(part)
  return value
}
