// The handlers whose stages are there to hold a run back, or to speak of what came before.
import type { CompiledStage } from '../../domain/workflow/definition.ts'

const held = new Set(['wait', 'approval', 'signal'])
const ordered = new Set([...held, 'gate', 'notify'])

/** A clock or a person ends it, so how long it takes says nothing about workers and timeouts. */
export const isHeld = ({ uses }: CompiledStage): boolean => held.has(uses)

/** To stand before or after another stage is what it is for. */
export const isForOrder = ({ uses }: CompiledStage): boolean => ordered.has(uses)
