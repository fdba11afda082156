// Tables of a projection that stand beside the live ones: those that are being built, and those that were live before. They have the
// same names in schemas of their own, so that the statements of a projection reach whichever the connection searches first.
import type { ClientBase } from 'pg'
import { quoted } from '../compare-tables.ts'

export type Schemas = { readonly live: string; readonly next: string; readonly previous: string }

/**
 * How long readers may keep the tables from being exchanged before it is tried again: who comes after waits as long. Longer than the
 * second after which PostgreSQL has autovacuum give way.
 */
const EXCHANGE_WITHIN = '3s'

export async function schemasOf(client: Pick<ClientBase, 'query'>): Promise<Schemas> {
  const { rows } = await client.query(
    `SELECT n.nspname AS live FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.oid = to_regclass('checkpoints')`,
  )
  const { live } = rows[0] as { live: string }
  return { live, next: `${live}_next`, previous: `${live}_previous` }
}

const inSchema = (schema: string, tables: readonly string[]): string =>
  tables.map((table) => `${quoted(schema)}.${quoted(table)}`).join(', ')

/**
 * Makes statements of this transaction mean the tables that are being built, which nobody drops before it ends. False where they are
 * gone: the same statements would reach the live ones.
 */
export async function searchNext(
  client: Pick<ClientBase, 'query'>,
  { next, live }: Schemas,
  tables: readonly string[],
): Promise<boolean> {
  if (!(await areThere(client, next, tables))) return false
  await client.query(
    `LOCK TABLE ${inSchema(next, tables)} IN ROW EXCLUSIVE MODE; SET LOCAL search_path TO ${quoted(next)}, ${quoted(live)}`,
  )
  return true
}

export async function areThere(
  client: Pick<ClientBase, 'query'>,
  schema: string,
  tables: readonly string[],
): Promise<boolean> {
  const { rows } = await client.query(
    'SELECT count(*)::int AS count FROM pg_tables WHERE schemaname = $1 AND tablename = ANY($2)',
    [schema, tables],
  )
  return rows[0].count === tables.length
}

export const dropTables = (client: Pick<ClientBase, 'query'>, schema: string, tables: readonly string[]) =>
  client.query(`DROP TABLE IF EXISTS ${inSchema(schema, tables)} CASCADE`)

/** Empty tables like the live ones, with their primary keys; other indexes and foreign keys cost less when all rows are there. */
export async function createNext(
  client: Pick<ClientBase, 'query'>,
  { live, next }: Schemas,
  tables: readonly string[],
): Promise<void> {
  await dropTables(client, next, tables)
  const { rows } = await client.query(
    `SELECT t.name, array_to_string(c.reloptions, ', ') AS options, k.conname AS key, pg_get_constraintdef(k.oid) AS definition
     FROM unnest($1::text[]) WITH ORDINALITY AS t(name, place)
       JOIN pg_class c ON c.oid = to_regclass(quote_ident($2) || '.' || quote_ident(t.name))
       JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype = 'p' ORDER BY t.place`,
    [tables, live],
  )
  for (const { name, options, key, definition } of rows) {
    const table = inSchema(next, [name])
    await client.query(
      `CREATE TABLE ${table} (LIKE ${inSchema(live, [name])} INCLUDING ALL EXCLUDING INDEXES) ${options ? `WITH (${options})` : ''}`,
    )
    await client.query(`ALTER TABLE ${table} ADD CONSTRAINT ${quoted(key)} ${definition}`)
  }
}

/** The statements that give the tables what `createNext` left out and they do not have yet. */
export async function statementsToFinish(
  client: Pick<ClientBase, 'query'>,
  { live, next }: Schemas,
  tables: readonly string[],
): Promise<readonly string[]> {
  const { rows } = await client.query(
    `WITH t AS (SELECT name, to_regclass(quote_ident($2) || '.' || quote_ident(name)) AS live,
         to_regclass(quote_ident($3) || '.' || quote_ident(name)) AS next FROM unnest($1::text[]) AS name)
     SELECT 1 AS step, replace(pg_get_indexdef(i.indexrelid), format(' ON %I.%I USING', $2::text, t.name),
         format(' ON %I.%I USING', $3::text, t.name)) AS statement
     FROM t JOIN pg_index i ON i.indrelid = t.live JOIN pg_class c ON c.oid = i.indexrelid
     WHERE NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))
       AND NOT EXISTS (SELECT FROM pg_index o JOIN pg_class oc ON oc.oid = o.indexrelid WHERE o.indrelid = t.next AND oc.relname = c.relname)
     UNION ALL
     SELECT CASE k.contype WHEN 'f' THEN 3 ELSE 2 END, format('ALTER TABLE %I.%I ADD CONSTRAINT %I %s', $3::text, t.name, k.conname,
         regexp_replace(replace(pg_get_constraintdef(k.oid), ' NOT VALID', ''), ' REFERENCES (' || quote_ident($2) || '\\.)?', ' REFERENCES ' || quote_ident($3) || '.'))
     FROM t JOIN pg_constraint k ON k.conrelid = t.live AND k.contype IN ('u', 'x', 'f')
     WHERE NOT EXISTS (SELECT FROM pg_constraint o WHERE o.conrelid = t.next AND o.conname = k.conname)
     ORDER BY step, statement`,
    [tables, live, next],
  )
  return rows.map(({ statement }) => statement as string)
}

/** Takes statistics, which the planner needs for the first question. */
export const analyse = (client: Pick<ClientBase, 'query'>, schema: string, tables: readonly string[]) =>
  client.query(`ANALYZE ${inSchema(schema, tables)}`)

const move = async (
  client: Pick<ClientBase, 'query'>,
  tables: readonly string[],
  from: string,
  to: string,
): Promise<void> => {
  for (const table of tables) await client.query(`ALTER TABLE ${inSchema(from, [table])} SET SCHEMA ${quoted(to)}`)
}

/** What was built goes live, and what was live is kept in place of what was kept before. */
export async function swapIn(
  client: Pick<ClientBase, 'query'>,
  { live, next, previous }: Schemas,
  tables: readonly string[],
): Promise<void> {
  await client.query(`SET LOCAL lock_timeout = '${EXCHANGE_WITHIN}'`)
  await dropTables(client, previous, tables)
  await move(client, tables, live, previous)
  await move(client, tables, next, live)
}

/** What is live and what was live before change places. */
export async function exchange(
  client: Pick<ClientBase, 'query'>,
  { live, next, previous }: Schemas,
  tables: readonly string[],
): Promise<void> {
  await client.query(`SET LOCAL lock_timeout = '${EXCHANGE_WITHIN}'`)
  await move(client, tables, live, next)
  await move(client, tables, previous, live)
  await move(client, tables, next, previous)
}
