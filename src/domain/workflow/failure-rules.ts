import { inspectPattern, MAX_PATTERN_COST } from '../execution/pattern.ts'
import type { Json } from '../message.ts'
import type { Fault } from '../rejected.ts'
import type { FailureRule, RecoveryPlan } from './definition.ts'
import { faultsBySchema, isMembers, pointerTo } from './document-faults.ts'
import { type FailureRuleDocument, failureRules, MAX_RULES } from './failure-schema.ts'
import { backoffOf } from './retry.ts'
import { unsupportedInRecovery } from './unsupported.ts'

type Read =
  | { readonly ok: true; readonly rules: readonly FailureRule[] }
  | { readonly ok: false; readonly faults: readonly Fault[] }

/** Reads rules that stand outside a workflow, at `at` of what they came in. */
export function readFailureRules(rules: Json, at: readonly string[]): Read {
  const faults = [...faultsBySchema(failureRules, rules, at), ...failureFaults(rules, at)]
  return faults.length > 0 ? { ok: false, faults } : { ok: true, rules: compileFailures(failureRules.parse(rules)) }
}

export const compileFailures = (rules: readonly FailureRuleDocument[]): readonly FailureRule[] => rules.map(compileRule)

function compileRule({ name, match, class: kind, recover }: FailureRuleDocument): FailureRule {
  const { code: codes, exitCode: exitCodes, signal: signals, httpStatus: httpStatuses, message: messages } = match
  return {
    name,
    match: {
      ...(codes ? { codes } : {}),
      ...(exitCodes ? { exitCodes } : {}),
      ...(signals ? { signals } : {}),
      ...(httpStatuses ? { httpStatuses } : {}),
      ...(messages ? { messages } : {}),
      ...(match.stage ? { stages: match.stage } : {}),
    },
    ...(kind ? { class: kind } : {}),
    ...(recover ? { recover: planOf(recover) } : {}),
  }
}

function planOf(recover: NonNullable<FailureRuleDocument['recover']>): RecoveryPlan {
  if (recover.action !== 'retry') return { action: recover.action }
  const { maxAttempts, backoff, queue } = { maxAttempts: undefined, backoff: undefined, queue: undefined, ...recover }
  return {
    action: 'retry',
    ...(maxAttempts === undefined ? {} : { maxAttempts }),
    ...(backoff === undefined ? {} : { backoff: backoffOf(backoff) }),
    ...(queue === undefined ? {} : { queue }),
  }
}

/**
 * Everything that is wrong with rules beyond their shape, as far as that is what it should be.
 * @param stages the stages of the workflow that they belong to, where there is one
 */
export function failureFaults(rules: Json | undefined, at: readonly string[], stages?: Json): readonly Fault[] {
  if (!Array.isArray(rules)) return []
  const placed = rules
    .slice(0, MAX_RULES)
    .map((rule, index) => ({ rule: isMembers(rule) ? rule : {}, at: [...at, String(index)] }))
  return [
    ...patternFaults(placed),
    ...placed.flatMap((one, index) => nameFaults(one, placed.slice(0, index))),
    ...placed.flatMap((one) => unsupportedInRecovery(one.rule.recover, pointerTo([...one.at, 'recover']))),
    ...(isMembers(stages)
      ? placed.flatMap((one) => [...stageFaults(one, stages), ...fallbackFaults(one, stages)])
      : []),
  ]
}

type Members = { readonly [key: string]: Json }
type Placed = { readonly rule: Members; readonly at: readonly string[] }

function nameFaults({ rule, at }: Placed, before: readonly Placed[]): readonly Fault[] {
  if (typeof rule.name !== 'string' || !before.some((other) => other.rule.name === rule.name)) return []
  return [{ pointer: pointerTo([...at, 'name']), message: `another rule is called ${JSON.stringify(rule.name)}` }]
}

/** The texts of a member of `match`, each with where it stands. */
function textsIn({ rule, at }: Placed, member: string): readonly { readonly text: string; readonly pointer: string }[] {
  const value = isMembers(rule.match) ? rule.match[member] : undefined
  const keys = [...at, 'match', member]
  if (typeof value === 'string') return [{ text: value, pointer: pointerTo(keys) }]
  if (!Array.isArray(value)) return []
  return value.flatMap((text, index) =>
    typeof text === 'string' ? [{ text, pointer: pointerTo([...keys, index]) }] : [],
  )
}

/** All patterns may be tried at one failure, so they share a limit; the first above it ends the work of looking at them. */
function patternFaults(rules: readonly Placed[]): readonly Fault[] {
  const faults: Fault[] = []
  let left = MAX_PATTERN_COST
  for (const { text, pointer } of rules.flatMap((one) => textsIn(one, 'message'))) {
    const { cost, fault } = inspectPattern(text)
    left -= cost
    if (fault !== undefined) faults.push({ pointer, message: fault })
    if (left >= 0) continue
    if (fault === undefined)
      faults.push({
        pointer,
        message: `with this one the patterns are too large together: more than ${MAX_PATTERN_COST} steps`,
      })
    break
  }
  return faults
}

function stageFaults(one: Placed, stages: Members): readonly Fault[] {
  return textsIn(one, 'stage')
    .filter(({ text }) => !Object.hasOwn(stages, text))
    .map(({ text, pointer }) => ({ pointer, message: `there is no stage called ${JSON.stringify(text)}` }))
}

function fallbackFaults(one: Placed, stages: Members): readonly Fault[] {
  const { recover } = one.rule
  const action = isMembers(recover) ? recover.action : recover
  if (action !== 'fallback') return []
  const named = textsIn(one, 'stage').map(({ text }) => text)
  const without = (named.length > 0 ? named : Object.keys(stages)).filter((id) => {
    const stage = Object.hasOwn(stages, id) ? stages[id] : undefined
    return isMembers(stage) && stage.fallback === undefined
  })
  if (without.length === 0) return []
  const message = `${JSON.stringify(without[0])} has no \`fallback\`; name the stages that have one in \`match.stage\``
  return [{ pointer: pointerTo([...one.at, 'recover', ...(isMembers(recover) ? ['action'] : [])]), message }]
}
