const duration = /^(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h|d)$/
const memory = /^(\d{1,9})(Ki|Mi|Gi|Ti)?$/
const instant = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:\d{2})$/

const unitMs: { readonly [unit: string]: number } = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }
const unitBytes: { readonly [unit: string]: number } = { Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30, Ti: 2 ** 40 }

/** Ten years: beyond it a number is a mistake, and adding it to a time stays within what dates can say. */
const MAX_DURATION_MS = 3_650 * 86_400_000

/** `500ms`, `10s`, `5m`, `2h`, `1d`, also `1.5h`, in milliseconds; undefined for anything else. */
export function parseDurationMs(text: string): number | undefined {
  const [, amount, unit] = duration.exec(text) ?? []
  if (amount === undefined || unit === undefined) return undefined
  const ms = Math.round(Number(amount) * unitMs[unit]!)
  return ms <= MAX_DURATION_MS ? ms : undefined
}

/** `90m` and the like: the largest unit of which it is a whole number. */
export function durationText(ms: number): string {
  const [unit, size] = Object.entries(unitMs)
    .reverse()
    .find(([, each]) => ms > 0 && ms % each === 0) ?? ['ms', 1]
  return `${ms / size}${unit}`
}

/** `512Mi`, `2Gi`, or plain bytes, in bytes; undefined for anything else. */
export function parseMemoryBytes(text: string): number | undefined {
  const [, amount, unit] = memory.exec(text) ?? []
  if (amount === undefined) return undefined
  return Number(amount) * (unit === undefined ? 1 : unitBytes[unit]!)
}

/** An ISO 8601 time with its offset, in milliseconds since 1970; undefined for anything else, such as a time of no zone. */
export function parseInstantMs(text: string): number | undefined {
  if (!instant.test(text)) return undefined
  const ms = Date.parse(text)
  return Number.isNaN(ms) ? undefined : ms
}
