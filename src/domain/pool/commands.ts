import type { Amounts } from './amounts.ts'
import type { Held, Holder } from './events.ts'

export type PoolCommand =
  | { type: 'DefinePool'; readonly name: string; readonly capacity: Amounts }
  /** `group`: the concurrency group that is opened, or whose limit is changed, by the run that asks. */
  | {
      type: 'GrantCapacity'
      readonly holder: Holder
      readonly amounts: Amounts
      readonly group?: { readonly name: string; readonly limit: number }
    }
  /** The grant is named by its number: one that was given since is another's. */
  | ({ type: 'ReleaseCapacity' } & Pick<Held, 'holder' | 'fence'>)
