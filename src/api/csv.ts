// Tables for spreadsheets: RFC 4180, with a line of names first.

export const CSV = 'text/csv'

type Cell = string | number | undefined

/** Nested members become columns `outer.inner`; what a row does not have is left empty. */
export function toCsv(columns: readonly string[], rows: readonly object[]): string {
  const lines = rows.map((row) => columns.map((column) => cell(at(row, column))).join(','))
  return [columns.join(','), ...lines].map((line) => `${line}\r\n`).join('')
}

const at = (row: object, path: string): Cell =>
  path.split('.').reduce<unknown>((value, name) => (value as Record<string, unknown> | undefined)?.[name], row) as Cell

function cell(value: Cell): string {
  if (value === undefined) return ''
  if (typeof value === 'number') return String(value)
  // Spreadsheets take what begins like that for a formula, and people put anything into labels.
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}
