/** Streams by what their names begin with; undefined is all of them. */
export type Streams = readonly string[] | { readonly allBut: string } | undefined

export function isOneOf(stream: string, streams: Streams): boolean {
  if (streams === undefined) return true
  return 'allBut' in streams ? !stream.startsWith(streams.allBut) : streams.some((prefix) => stream.startsWith(prefix))
}
