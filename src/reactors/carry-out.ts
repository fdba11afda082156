/** How much is done at once. */
const TOGETHER = 500

/** Empties what is to be done, and answers it. */
export function take<T>(from: Iterable<T> & { clear(): void }): readonly T[] {
  const taken = [...from]
  from.clear()
  return taken
}

/** Does it for all; what was not done, since it or something before it failed, is put back, and the first failure is thrown. */
export async function carryOut<T>(
  items: readonly T[],
  does: (item: T) => Promise<void>,
  putBack: (item: T) => void,
): Promise<void> {
  for (let at = 0; at < items.length; at += TOGETHER) {
    const some = items.slice(at, at + TOGETHER)
    const done = await Promise.allSettled(some.map(does))
    const failure = done.find(({ status }) => status === 'rejected')
    if (failure === undefined) continue
    for (const [index, { status }] of done.entries()) if (status === 'rejected') putBack(some[index]!)
    for (const item of items.slice(at + TOGETHER)) putBack(item)
    throw (failure as PromiseRejectedResult).reason
  }
}
