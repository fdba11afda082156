import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Migration } from '@mikro-orm/migrations'
import { MikroORM } from '@mikro-orm/postgresql'

/** What a migration would have PostgreSQL do. */
export type Statements = { readonly name: string; readonly sql: readonly string[] }

type MigrationClass = new (...args: ConstructorParameters<typeof Migration>) => Migration

/** The statements of migrations, in their order; nothing of them runs. */
export async function readStatements(
  url: string,
  folder: string,
  names: readonly string[],
): Promise<readonly Statements[]> {
  // It is told where the database is, and asks it nothing.
  const orm = new MikroORM({ clientUrl: url, entities: [], discovery: { warnWhenNoEntities: false } })
  const all: Statements[] = []
  for (const name of names) {
    const file = (await import(pathToFileURL(join(folder, `${name}.ts`)).href)) as Record<string, unknown>
    const found = Object.values(file).find(
      (one): one is MigrationClass => typeof one === 'function' && one.prototype instanceof Migration,
    )
    if (found === undefined) throw new Error(`${name} exports no migration`)
    const migration = new found(orm.driver, orm.config)
    await migration.up()
    all.push({ name, sql: migration.getQueries().map((query) => String(query).trim()) })
  }
  return all
}
