// The orders in which lists can be asked for: closed lists, since each has to have an index, or a table that stays small. A hyphen
// before the name is descending, as in most APIs.

/** The first is what a list has where nothing is said. Runs have an index for each of their filters, by their start. */
export const executionSorts = ['-startedAt', 'startedAt'] as const
export const workflowSorts = ['name', '-name', '-updatedAt', 'updatedAt', '-createdAt', 'createdAt'] as const
/** Ids of workers grow with the time of their registration. */
export const workerSorts = ['-registeredAt', 'registeredAt'] as const

export type ExecutionSort = (typeof executionSorts)[number]
export type WorkflowSort = (typeof workflowSorts)[number]
export type WorkerSort = (typeof workerSorts)[number]

type Name<S extends string> = S extends `-${infer N}` ? N : S

/** What is sorted by, which way, and the comparison that a later row passes. */
export function orderOf<S extends string>(sort: S) {
  const descending = sort.startsWith('-')
  const by = (descending ? sort.slice(1) : sort) as Name<S>
  return { by, direction: descending ? 'desc' : 'asc', later: descending ? '$lt' : '$gt' } as const
}

/** A cursor is of a list in its order, and of no other. */
export const kindOf = (list: string, sort: string, first: string): string => (sort === first ? list : `${list} ${sort}`)
