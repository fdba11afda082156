import { Migration } from '@mikro-orm/migrations'

// A row of `schedule_runs` is a nominal time that has or had a run, or waits for it; the index is over those that go on.
const TABLES = `
create table schedules (
  namespace text not null,
  name text not null,
  workflow text not null,
  defined_by text,
  status text not null,
  spec json not null,
  decided_to timestamptz not null,
  last_nominal_at timestamptz,
  last_execution uuid,
  fired integer not null,
  completed integer not null,
  failed integer not null,
  cancelled integer not null,
  refused integer not null,
  passed bigint not null,
  backfill json,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  revision bigint not null,
  position bigint not null,
  primary key (namespace, name)
) with (fillfactor = 60);

create table schedule_runs (
  namespace text not null,
  schedule text not null,
  nominal_at timestamptz not null,
  execution_id uuid,
  status text not null,
  backfill uuid,
  error json,
  updated_at timestamptz not null,
  primary key (namespace, schedule, nominal_at)
) with (fillfactor = 60);
create index schedule_runs_going_on on schedule_runs (namespace, schedule, status) where status in ('open', 'queued');
`

export class Schedules extends Migration {
  override up(): void {
    this.addSql(TABLES)
  }

  override down(): void {
    this.addSql('drop table schedule_runs, schedules')
  }
}
