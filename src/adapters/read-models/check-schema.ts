// Whether the schema of a database is the one that its migrations make, and has what the entities say: found out by making it a second
// time, in a transaction that is taken back.
import { MikroORM } from '@mikro-orm/postgresql'
import { Client } from 'pg'
import { readStatements } from './migration-statements.ts'

type Entities = NonNullable<Parameters<typeof MikroORM.init>[0]>['entities']

const SCRATCH = 'millrace_schema_check'
/** Tables of the migrations themselves. */
const OWN = ['mikro_orm_migrations', 'migration_checksums']

/** A line for each thing of the tables of a schema, in which the schema itself is not named. */
const THINGS = `
  WITH t AS (SELECT c.oid, c.relname, c.reloptions FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = $1 AND c.relkind = 'r' AND NOT c.relname = ANY($2))
  SELECT format('table %s with (%s)', relname, array_to_string(reloptions, ', ')) AS thing FROM t
  UNION ALL
  SELECT format('column %s.%s %s%s, storage %s%s', t.relname, a.attname, format_type(a.atttypid, a.atttypmod),
    CASE WHEN a.attnotnull THEN ' not null' ELSE '' END, a.attstorage, coalesce(', default ' || pg_get_expr(d.adbin, d.adrelid), ''))
  FROM t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef d ON d.adrelid = t.oid AND d.adnum = a.attnum
  UNION ALL
  SELECT format('constraint %s of %s: %s', k.conname, t.relname, replace(replace(pg_get_constraintdef(k.oid), format('%I.', $1::text), ''), ' NOT VALID', ''))
  FROM t JOIN pg_constraint k ON k.conrelid = t.oid WHERE k.contype <> 'n'
  UNION ALL
  SELECT format('index %s', replace(pg_get_indexdef(i.indexrelid), format(' ON %I.', $1::text), ' ON ')) FROM t JOIN pg_index i ON i.indrelid = t.oid`

/** What of the schema is missing, and what is there that no migration makes, one line each. None where it is as it should be. */
export async function schemaFaults(
  url: string,
  { folder, names, entities }: { folder: string; names: readonly string[]; entities: Entities },
): Promise<readonly string[]> {
  const client = new Client({ connectionString: url })
  client.on('error', () => {})
  await client.connect()
  try {
    const { rows } = await client.query('SELECT current_schema() AS schema')
    const is = await thingsIn(client, rows[0].schema)
    const ought = await scratch(client, url, folder, names)
    const entityFaults = await faultsOfEntities(client, url, rows[0].schema, entities)
    return [
      ...ought.filter((thing) => !is.includes(thing)).map((thing) => `missing: ${thing}`),
      ...is.filter((thing) => !ought.includes(thing)).map((thing) => `made by no migration: ${thing}`),
      ...entityFaults,
    ]
  } finally {
    await client.end()
  }
}

const thingsIn = async (client: Client, schema: string): Promise<readonly string[]> =>
  (await client.query(`${THINGS} ORDER BY 1`, [schema, OWN])).rows.map(({ thing }) => thing as string)

async function scratch(client: Client, url: string, folder: string, names: readonly string[]) {
  const statements = await readStatements(url, folder, names)
  await client.query(`BEGIN; CREATE SCHEMA ${SCRATCH}; SET LOCAL search_path TO ${SCRATCH}`)
  try {
    for (const { sql } of statements) for (const statement of sql) await client.query(statement)
    return await thingsIn(client, SCRATCH)
  } finally {
    await client.query('ROLLBACK')
  }
}

/** Of each property its column: that it is there, of the same type, and nullable and part of the key where the property is. */
async function faultsOfEntities(client: Client, url: string, schema: string, entities: Entities) {
  const orm = new MikroORM({ clientUrl: url, entities: entities ?? [] })
  const { rows } = await client.query<{ table: string; column: string; says: string }>(
    `SELECT c.relname AS table, a.attname AS column, concat_ws(' ', format_type(a.atttypid, NULL),
       CASE WHEN a.attnotnull THEN 'not null' END, CASE WHEN a.attnum = ANY(i.indkey) THEN 'key' END) AS says
     FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
       LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
     WHERE c.relnamespace = to_regnamespace(quote_ident($1)) AND c.relkind = 'r'`,
    [schema],
  )
  const faults: string[] = []
  for (const meta of (orm.getMetadata().getAll() as unknown as ReadonlyMap<unknown, Meta>).values())
    for (const { fieldNames, columnTypes, nullable, primary } of Object.values(meta.properties)) {
      const [column = ''] = fieldNames
      const type = TYPES[columnTypes[0] ?? ''] ?? columnTypes[0]
      const ought = [type, ...(nullable ? [] : ['not null']), ...(primary ? ['key'] : [])].join(' ')
      const is = rows.find((row) => row.table === meta.tableName && row.column === column)?.says
      if (is !== ought)
        faults.push(`entity ${meta.className}: ${meta.tableName}.${column} is ${is ?? 'missing'}, not ${ought}`)
    }
  return faults
}

type Meta = {
  readonly className: string
  readonly tableName: string
  readonly properties: Readonly<
    Record<string, { fieldNames: string[]; columnTypes: string[]; nullable?: boolean; primary?: boolean }>
  >
}

/** What MikroORM calls by another name than PostgreSQL. */
const TYPES: Readonly<Record<string, string>> = {
  int: 'integer',
  timestamptz: 'timestamp with time zone',
  'timestamptz(0)': 'timestamp with time zone',
  'timestamptz(6)': 'timestamp with time zone',
}
