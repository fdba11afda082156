import type { Amounts } from '../pool/amounts.ts'

/** As the syntax has them: cores, and bytes. */
type Written = {
  readonly slots?: number | undefined
  readonly cpu?: number | undefined
  readonly memory?: number | undefined
  readonly disk?: number | undefined
}

/** The smallest part of a core that is counted is a thousandth. */
export const amountsOf = ({ slots = 0, cpu = 0, memory = 0, disk = 0 }: Written): Amounts => ({
  slots,
  cpuMillicores: cpu === 0 ? 0 : Math.max(Math.round(cpu * 1_000), 1),
  memoryBytes: memory,
  diskBytes: disk,
})

export function resourcesOf({ pool, ...asked }: Written & { readonly pool: string }): {
  readonly pool: string
  readonly amounts: Amounts
} {
  const isUnsaid = Object.values(asked).every((amount) => amount === undefined)
  return { pool, amounts: amountsOf(isUnsaid ? { slots: 1 } : asked) }
}
