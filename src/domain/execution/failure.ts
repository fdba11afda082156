import type { FailureRule, RecoveryPlan, RetryPolicy } from '../workflow/definition.ts'
import { builtInRules, retriesByClass } from './built-in-rules.ts'
import type { FailureClass, StageError } from './events.ts'
import { matchesPattern } from './pattern.ts'

/** An attempt that was lost is none that the stage used up, but a stage that kills its workers must end some day. */
export const MAX_LOST_ATTEMPTS = 10
const FIRST_LOST_DELAY_MS = 1_000
const LAST_LOST_DELAY_MS = 15_000

type Kind = { readonly class: FailureClass; readonly rule: string }

/**
 * What kind of failure an error is. `retries` says whether another attempt can help by what its class does by default, within
 * the stage's `maxAttempts`; only `recover`, which a rule of the workflow may have, can grant more.
 */
export type Classification = Kind & {
  readonly builtIn: boolean
  readonly recover?: RecoveryPlan
  readonly retries: boolean
}

/** The first rule that matches, those of the workflow before the built-in ones. Never throws. */
export function classify(
  error: StageError,
  stage: string | undefined,
  rules: readonly FailureRule[] | undefined,
): Classification {
  const own = rules?.find(({ match }) => matches(match, error, stage))
  const known = own?.class ? undefined : builtInRules.find(({ match }) => matches(match, error, stage))
  const kind = { class: own?.class ?? known?.class ?? 'unknown', rule: own?.name ?? known?.name ?? 'none' } as const
  const recover = own?.recover ? { recover: own.recover } : {}
  return { ...kind, builtIn: own === undefined, ...recover, retries: retriesByClass[kind.class] }
}

function matches(match: FailureRule['match'], error: StageError, stage: string | undefined): boolean {
  const { stages, codes, exitCodes, signals, httpStatuses, messages } = match
  return (
    has(stages, stage) &&
    has(codes, error.code) &&
    has(exitCodes, error.exitCode) &&
    has(signals, error.signal) &&
    (!httpStatuses || httpStatuses.some((status) => isStatus(status, error.httpStatus))) &&
    (!messages || messages.some((pattern) => matchesPattern(pattern, error.message)))
  )
}

const has = <T>(wanted: readonly T[] | undefined, value: T | undefined): boolean =>
  wanted === undefined || (value !== undefined && wanted.includes(value))

const isStatus = (wanted: number | '4xx' | '5xx', status: number | undefined): boolean =>
  status !== undefined &&
  (typeof wanted === 'number' ? status === wanted : Math.floor(status / 100) === Number(wanted[0]))

/** Milliseconds before attempt `failed` + 1, rounded; `seed` in [0, 1) places it within the jitter. */
export function backoffMs({ backoff }: RetryPolicy, failed: number, seed: number): number {
  const { type, initialMs, maxMs, jitter } = backoff
  const grown =
    type === 'fixed' ? initialMs : type === 'linear' ? initialMs * failed : initialMs * 2 ** Math.min(failed - 1, 52)
  return Math.round(Math.min(grown, maxMs) * (1 + jitter * (2 * seed - 1)))
}

/**
 * Milliseconds before a lost attempt is made again: the first at once, then 1 s doubling up to 15 s. No longer, because
 * a stage that ends its worker and one that was there when the program was killed look alike, and the latter is not to
 * wait long once all is well.
 */
export const lostDelayMs = (lostBefore: number): number =>
  lostBefore === 0 ? 0 : Math.min(FIRST_LOST_DELAY_MS * 2 ** (lostBefore - 1), LAST_LOST_DELAY_MS)

/** A number in [0, 1) that depends on `text` alone: FNV-1a, then the finaliser of MurmurHash3. */
export function seedOf(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32
}
