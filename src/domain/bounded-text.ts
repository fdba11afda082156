/** Cut to `limit` UTF-16 units, without what PostgreSQL refuses in JSON: U+0000 and halves of surrogate pairs. */
export function boundedText(text: string, limit: number): string {
  const cut = text.length > limit ? `${text.slice(0, limit - 1)}…` : text
  return cut.replaceAll('\0', '\uFFFD').toWellFormed()
}
