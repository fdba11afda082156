/** The smallest value that at least `share` (0 to 1) of all values do not exceed (nearest rank); 0 of none. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0
}

export const p50 = (values: readonly number[]): number => percentile(values, 0.5)
export const p95 = (values: readonly number[]): number => percentile(values, 0.95)
export const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0)

/** Of the normal distribution: 95 % lie within so many deviations. */
const Z = 1.96

/**
 * The lower end of the 95 % interval around a rate of which `hits` of `count` were seen (Wilson's score interval, 1927).
 * It stays near 0 while little was seen: 1 of 3 gives 0.06.
 */
export function rateAtLeast(hits: number, count: number): number {
  if (hits === 0) return 0
  const rate = hits / count
  const spread = Z * Math.sqrt((rate * (1 - rate)) / count + Z ** 2 / (4 * count ** 2))
  return (rate + Z ** 2 / (2 * count) - spread) / (1 + Z ** 2 / count)
}

/** A rate as it is answered. */
export const rounded = (rate: number): number => Math.round(rate * 1_000) / 1_000

/** A duration as people read it, in two units at most. */
export function spelled(ms: number): string {
  if (ms < 1_000) return `${ms} ms`
  if (ms < 60_000) return `${Math.floor(ms / 100) / 10} s`
  return ms < 3_600_000 ? inTwo(Math.floor(ms / 1_000), 'min', 's') : inTwo(Math.floor(ms / 60_000), 'h', 'min')
}

/** Of `parts` sixty make one of the larger unit. */
function inTwo(parts: number, larger: string, smaller: string): string {
  const rest = parts % 60
  return `${Math.floor(parts / 60)} ${larger}${rest === 0 ? '' : ` ${rest} ${smaller}`}`
}
