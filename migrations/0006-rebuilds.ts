import { Migration } from '@mikro-orm/migrations'

// What is being built stands beside the live tables, in a schema of its own under the same names, and so does what was live before:
// projections name their tables without a schema, and indexes keep their names.
const CHANGES = `
create table projection_rebuilds (
  name text primary key,
  id uuid not null,
  version integer not null,
  status text not null check (status in ('running', 'swapped', 'failed', 'cancelled')),
  phase text not null check (phase in ('queued', 'replaying', 'indexing', 'comparing', 'held', 'swapping', 'done')),
  hold boolean not null,
  reason text not null,
  requested_by text not null,
  requested_at timestamptz not null,
  started_at timestamptz,
  finished_at timestamptz,
  position bigint not null,
  head bigint not null,
  events bigint not null,
  skips integer not null default 0,
  events_per_second double precision not null,
  eta_seconds double precision,
  error text,
  failed_position bigint,
  failed_event json,
  difference json,
  updated_at timestamptz not null
) with (fillfactor = 50);

create table projection_previous (
  name text primary key,
  version integer not null,
  position bigint not null,
  replaced_at timestamptz not null
);

do $$ begin
  execute format('create schema %I', current_schema() || '_next');
  execute format('create schema %I', current_schema() || '_previous');
end $$;
`

const BACK = `
drop table projection_rebuilds, projection_previous;
do $$ begin
  execute format('drop schema %I cascade', current_schema() || '_next');
  execute format('drop schema %I cascade', current_schema() || '_previous');
end $$;
`

export class Rebuilds extends Migration {
  override up(): void {
    this.addSql(CHANGES)
  }

  override down(): void {
    this.addSql(BACK)
  }
}
