// SQL that says where the rows of a table differ from those that were made of the log another time.
import type { ClientBase } from 'pg'
import { type Drift, Findings, type Listed, MOST_LISTED } from './findings.ts'

/** A table of the read models; another of the same name stands in another schema. */
export type Table = {
  readonly name: string
  readonly schema: string
  readonly key: readonly string[]
  readonly columns: readonly { readonly name: string; readonly type: string }[]
}

/** Rows of positions after `after`, up to `to`; `gone` says of a row `c` that was made again that it need not be there. */
export type Stretch = {
  readonly column: string
  readonly after: number
  readonly to: number
  gone(schema: string): string
}

/** As identifiers are written in SQL. */
export const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`
const within = (schema: string, { name }: Table): string => `${quoted(schema)}.${quoted(name)}`

/** @throws where there is no such table in the schemas that are searched, or it has no primary key */
export async function describeTable(client: ClientBase, name: string): Promise<Table> {
  const { rows } = await client.query<{ schema: string; column: string; type: string; place: number | null }>(
    `SELECT n.nspname AS schema, a.attname AS column, format_type(a.atttypid, NULL) AS type,
       array_position(i.indkey::int2[], a.attnum) AS place
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
       JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
     WHERE c.oid = to_regclass($1) ORDER BY a.attnum`,
    [quoted(name)],
  )
  if (rows[0] === undefined) throw new Error(`there is no table ${name} with a primary key`)
  const key = rows.filter(({ place }) => place !== null).sort((a, b) => a.place! - b.place!)
  return {
    name,
    schema: rows[0].schema,
    key: key.map(({ column }) => column),
    columns: rows.map(({ column, type }) => ({ name: column, type })),
  }
}

/** `rows`: what becomes of them when a transaction ends. */
export async function makeCopy(client: ClientBase, table: Table, rows: 'PRESERVE' | 'DELETE'): Promise<void> {
  const key = table.key.map(quoted).join(', ')
  await client.query(`
    CREATE TEMPORARY TABLE ${quoted(table.name)}
      (LIKE ${within(table.schema, table)} INCLUDING DEFAULTS INCLUDING STORAGE, PRIMARY KEY (${key})) ON COMMIT ${rows} ROWS`)
}

/** Rows that are missing, that should not be there, and that differ from those of `schema`, with the columns in which they do. */
export async function compareTable(
  client: ClientBase,
  table: Table,
  schema: string,
  stretch?: Stretch,
): Promise<Listed<Drift>> {
  const { rows } = await client.query<{ key: string; is: string; columns: string[]; total: string }>(
    sqlOf(table, schema, stretch),
  )
  const found = new Findings<Drift>()
  const items = rows.map(({ key, is, columns }): Drift => {
    const what = is === 'differs' ? `differs from what the log says in ${columns.join(', ')}` : is
    return { where: table.name, key, what }
  })
  found.addListed({ total: Number(rows[0]?.total ?? 0), items })
  return found.listed()
}

function sqlOf(table: Table, schema: string, stretch: Stretch | undefined): string {
  const { key, columns } = table
  const rows = stretch
    ? ` WHERE ${quoted(stretch.column)} > ${stretch.after} AND ${quoted(stretch.column)} <= ${stretch.to}`
    : ''
  const gone = stretch ? ` AND NOT ${stretch.gone(quoted(table.schema))}` : ''
  const of = (side: string) => (name: string) => `${side}.${quoted(name)}`
  const cells = (side: string) => columns.map((column) => comparable(side, column))
  const [first = ''] = key
  const same = key.map((name) => `${of('l')(name)} = ${of('c')(name)}`).join(' AND ')
  const differing = columns.map(
    (column) =>
      `CASE WHEN ${comparable('l', column)} IS DISTINCT FROM ${comparable('c', column)} THEN '${column.name}' END`,
  )
  return `
    SELECT concat_ws('/', ${key.map((name) => `coalesce(${of('l')(name)}, ${of('c')(name)})`).join(', ')}) AS key,
      CASE WHEN ${of('l')(first)} IS NULL THEN 'is missing' WHEN ${of('c')(first)} IS NULL THEN 'is not in the log' ELSE 'differs' END AS is,
      array_remove(ARRAY[${differing.join(', ')}], NULL) AS columns, count(*) OVER () AS total
    FROM (SELECT * FROM ${within(table.schema, table)}${rows}) l
      FULL JOIN (SELECT * FROM ${within(schema, table)} c${rows}${gone}) c ON ${same}
    WHERE (${cells('l').join(', ')}) IS DISTINCT FROM (${cells('c').join(', ')})
    ORDER BY 1 LIMIT ${MOST_LISTED}`
}

/** JSON is compared as it stands: the type `json` knows no equality, and that of `jsonb` forgives. */
const comparable = (side: string, { name, type }: Table['columns'][number]): string =>
  type.startsWith('json') ? `${side}.${quoted(name)}::text` : `${side}.${quoted(name)}`
