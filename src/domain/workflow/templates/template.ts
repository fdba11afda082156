import type { Json } from '../../message.ts'

/** Stages of one phase run at the same time; those of the next wait for them. */
export type Phase =
  | 'checkout'
  | 'toolchain'
  | 'prepare'
  | 'build'
  | 'gate'
  | 'package'
  | 'approve'
  | 'deploy'
  | 'settle'
  | 'verify'
  | 'notify'

/**
 * A stage as data. A text `<slot>` in `stage` is replaced by a value as a whole, never as a part of another text, so that
 * nothing gets into a script that was not one. A template applies where every slot of its stage has a value.
 */
export type Template = {
  readonly name: string
  readonly phase: Phase
  /** What it is made once for. */
  readonly of: 'project' | 'component' | 'environment'
  /** Id of the stage, with slots in its text. */
  readonly id: string
  /** Why the stage is there, with slots in its text. */
  readonly why: string
  readonly stage: { readonly uses: string; readonly [member: string]: Json }
  /** What a run has to be given: a JSON Schema for each member of its input. */
  readonly input?: { readonly required: readonly string[]; readonly properties: { readonly [member: string]: Json } }
  /** Variables that deployments get, each from a member of this stage's output. */
  readonly provides?: { readonly [variable: string]: string }
}

export type Values = { readonly [slot: string]: Json | undefined }

const slot = /<([a-z-]+)>/g
const onlySlot = /^<([a-z-]+)>$/

/** The stage with every slot filled; undefined where one has no value, so that the template does not apply. */
export function fillStage({ stage }: Template, values: Values): Template['stage'] | undefined {
  const filled = fill(stage as { [member: string]: Json }, values)
  return filled as Template['stage'] | undefined
}

function fill(value: Json, values: Values): Json | undefined {
  if (typeof value === 'string') {
    const name = onlySlot.exec(value)?.[1]
    return name === undefined ? value : values[name]
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  const entries = Object.entries(value).map(([key, item]) => [key, fill(item, values)] as const)
  return entries.some(([, item]) => item === undefined)
    ? undefined
    : (Object.fromEntries(entries) as { [member: string]: Json })
}

/** For ids and explanations only; a script never goes through here. */
export const fillText = (text: string, values: Values): string =>
  text.replaceAll(slot, (_, name: string) => String(values[name]))
