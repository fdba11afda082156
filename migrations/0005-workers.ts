import { Migration } from '@mikro-orm/migrations'

// Ids grow with the time of their making, so that they are also the order of the list.
const TABLES = `
create table workers (
  id uuid primary key,
  status text not null,
  since timestamptz not null,
  reason text,
  registered_at timestamptz not null,
  host text not null,
  pid integer not null,
  version text not null,
  queues json not null,
  labels json not null,
  concurrency integer not null,
  handlers json not null
);
create index workers_by_status on workers (status, id desc);
`

export class Workers extends Migration {
  override up(): void {
    this.addSql(TABLES)
  }

  override down(): void {
    this.addSql('drop table workers')
  }
}
