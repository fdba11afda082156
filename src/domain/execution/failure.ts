import type { RecoveryPlan, RetryPolicy } from '../workflow/definition.ts'
import type { FailureClass, StageError } from './events.ts'

/** An attempt that was lost is none that the stage used up, but a stage that kills its workers must end some day. */
export const MAX_LOST_ATTEMPTS = 10
const FIRST_LOST_DELAY_MS = 1_000
const LAST_LOST_DELAY_MS = 15_000

/** What kind of failure an error is, and the name of the rule that says so; first match wins. */
export function classify(
  error: StageError,
  _stage = '',
  _rules: readonly never[] = [],
): { readonly class: FailureClass; readonly rule: string; readonly recover?: RecoveryPlan; readonly retries: boolean } {
  for (const rule of RULES)
    if (rule.codes.includes(error.code)) return { class: rule.class, rule: rule.name, retries: true }
  return { class: 'unknown', rule: 'none', retries: true }
}

const RULES: readonly { readonly name: string; readonly class: FailureClass; readonly codes: readonly string[] }[] = [
  { name: 'worker-lost', class: 'infrastructure', codes: ['WORKER_LOST', 'SHUTDOWN', 'LEASE_LOST'] },
  { name: 'timed-out', class: 'timeout', codes: ['TIMED_OUT'] },
  { name: 'cancelled', class: 'cancelled', codes: ['CANCELLED'] },
  { name: 'no-connection', class: 'network', codes: ['CONNECTION_FAILED'] },
  { name: 'not-configured', class: 'configuration', codes: ['HANDLER_UNKNOWN', 'INPUT_INVALID', 'EXPRESSION_FAILED'] },
]

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
