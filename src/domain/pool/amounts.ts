/** An amount of each thing that a pool has; 0 of what it has none of. All are whole numbers, so that sums are exact. */
export type Amounts = {
  readonly slots: number
  readonly cpuMillicores: number
  readonly memoryBytes: number
  readonly diskBytes: number
}

/** What people call the things that a pool has. */
export type ResourceName = 'slots' | 'cpu' | 'memory' | 'disk'

export const NOTHING: Amounts = { slots: 0, cpuMillicores: 0, memoryBytes: 0, diskBytes: 0 }

const members: readonly (readonly [ResourceName, keyof Amounts])[] = [
  ['slots', 'slots'],
  ['cpu', 'cpuMillicores'],
  ['memory', 'memoryBytes'],
  ['disk', 'diskBytes'],
]

const each = (change: (member: keyof Amounts) => number): Amounts => ({
  slots: change('slots'),
  cpuMillicores: change('cpuMillicores'),
  memoryBytes: change('memoryBytes'),
  diskBytes: change('diskBytes'),
})

export const plus = (a: Amounts, b: Amounts): Amounts => each((member) => a[member] + b[member])
export const minus = (a: Amounts, b: Amounts): Amounts => each((member) => a[member] - b[member])

/** What `wanted` asks more of than there is. Nothing is short of what it does not ask for, however little there is. */
export const shortOf = (wanted: Amounts, free: Amounts): readonly ResourceName[] =>
  members.filter(([, member]) => wanted[member] > 0 && wanted[member] > free[member]).map(([name]) => name)

export const fits = (wanted: Amounts, free: Amounts): boolean =>
  members.every(([, member]) => wanted[member] === 0 || wanted[member] <= free[member])
export const isSame = (a: Amounts, b: Amounts): boolean => members.every(([, member]) => a[member] === b[member])
