// How work reaches a worker: by the queue that it waits in, and by the labels that the worker must have.

/** A route is a queue and its labels in order, with dots between them: `default.gpu.linux`. Names have no dots. */
export type Route = { readonly queue: string; readonly labels: readonly string[] }

/** With more, the routes of a queue would be too many to watch. */
export const MAX_LABELS = 4

/** The same labels make the same route, however often and in whatever order they are named. */
export const routeOf = (queue: string, labels: readonly string[] = []): string =>
  [queue, ...[...new Set(labels)].sort()].join('.')

export function parseRoute(route: string): Route {
  const [queue = '', ...labels] = route.split('.')
  return { queue, labels }
}

/** The same labels in another queue. */
export const movedTo = (queue: string, route: string): string => routeOf(queue, parseRoute(route).labels)

/** A worker takes the work of a route when it serves the queue and has every one of the labels. */
export function serves(
  route: string,
  { queues, labels }: { readonly queues: readonly string[]; readonly labels: readonly string[] },
): boolean {
  const wanted = parseRoute(route)
  return queues.includes(wanted.queue) && wanted.labels.every((label) => labels.includes(label))
}
