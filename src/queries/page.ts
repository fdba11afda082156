/** A part of a list, and where the next one begins. */
export type Page<T> = { readonly items: readonly T[]; readonly nextCursor: string | null }
/** `limit` is 1 to 200; `cursor` is what an earlier page answered. A forged cursor throws `BadCursor`. */
export type PageRequest = { readonly limit: number; readonly cursor?: string }

/** The cursor was not one that a page answered. */
export class BadCursor extends Error {
  constructor() {
    super('the cursor is not one that an earlier page answered')
    this.name = 'BadCursor'
  }
}
