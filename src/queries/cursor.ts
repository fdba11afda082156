import { BadCursor, type Page, type PageRequest } from './page.ts'

const MAX_LIMIT = 200

/** One row more than was asked for tells whether another page follows. */
export function rowsToRead({ limit }: PageRequest): number {
  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_LIMIT)
    throw new RangeError(`limit is ${limit}, not 1 to ${MAX_LIMIT}`)
  return limit + 1
}

/** The page of what was read; `keyOf` gives the place after which the next one goes on. */
export function toPage<R, T>(
  rows: readonly R[],
  { limit }: PageRequest,
  kind: string,
  keyOf: (row: R) => readonly unknown[],
  view: (row: R) => T,
): Page<T> {
  const shown = rows.slice(0, limit)
  const last = shown.at(-1)
  const nextCursor = rows.length > limit && last ? encodeCursor(kind, keyOf(last)) : null
  return { items: shown.map(view), nextCursor }
}

const encodeCursor = (kind: string, key: readonly unknown[]): string =>
  Buffer.from(JSON.stringify([kind, ...key])).toString('base64url')

/**
 * The key that a cursor holds. `kind` keeps the cursor of one list out of another; `isKey` checks the members.
 * @throws BadCursor
 */
export function decodeCursor<K extends readonly unknown[]>(
  cursor: string,
  kind: string,
  isKey: (key: readonly unknown[]) => key is K,
): K {
  const members = parse(Buffer.from(cursor, 'base64url').toString())
  if (!Array.isArray(members) || members[0] !== kind) throw new BadCursor()
  const key = members.slice(1) as readonly unknown[]
  // Decoding base64 forgives what it does not know, so only the spelling that a page answers is taken.
  if (!isKey(key) || encodeCursor(kind, key) !== cursor) throw new BadCursor()
  return key
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new BadCursor()
  }
}
