import type { Json } from '../../domain/message.ts'

const DEPTH_LIMIT = 100

/**
 * Parses JSON that a stage hands over and that will stand in the log and in PostgreSQL for good. Throws `SyntaxError`
 * also for what JSON allows but those can't hold: `1e400`, U+0000, half a surrogate pair, a member `__proto__`, more
 * than 100 levels.
 */
export function parseJsonDocument(text: string): Json {
  const value = JSON.parse(text) as Json
  const fault = faultIn(value, 0)
  if (fault) throw new SyntaxError(fault)
  return value
}

function faultIn(value: Json, depth: number): string | undefined {
  if (depth > DEPTH_LIMIT) return `is nested deeper than ${DEPTH_LIMIT} levels`
  if (typeof value === 'number') return Number.isFinite(value) ? undefined : 'has a number that is out of range'
  if (typeof value === 'string') return faultInText(value)
  if (value === null || typeof value !== 'object') return undefined
  for (const [key, member] of Object.entries(value)) {
    const fault = key === '__proto__' ? 'has a member __proto__' : (faultInText(key) ?? faultIn(member, depth + 1))
    if (fault) return fault
  }
  return undefined
}

const faultInText = (text: string): string | undefined => {
  if (text.includes('\0')) return 'has the character U+0000'
  return text.isWellFormed() ? undefined : 'has half a surrogate pair'
}
