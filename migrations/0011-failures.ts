import { Migration } from '@mikro-orm/migrations'

// A row for each attempt that failed, with what statistics group and filter by, so that a month of them is read from one index.
// `many`: the run has others. Most have not, and those need no second look to be counted once.
const CHANGES = `
create table failures (
  execution_id uuid not null,
  stage text not null,
  attempt integer not null,
  namespace text not null,
  workflow text not null,
  class text not null,
  rule text not null,
  recovery text not null,
  failed_at timestamptz not null,
  recovered boolean not null default false,
  many boolean not null default false,
  primary key (execution_id, stage, attempt),
  constraint failures_of_executions foreign key (execution_id) references executions (id)
) with (fillfactor = 70);
create index failures_by_time on failures (namespace, failed_at) include (workflow, stage, class, rule, recovery, recovered, many);
create index failures_of_many on failures (namespace, failed_at) include (workflow, stage, class, rule, execution_id) where many;
drop index attempts_failed;
alter table attempts drop failed_at;
`

const BACK = `
alter table attempts add failed_at timestamptz;
create index attempts_failed on attempts (failed_at) where failed_at is not null;
drop table failures;
`

export class Failures extends Migration {
  override up(): void {
    this.addSql(CHANGES)
  }

  override down(): void {
    this.addSql(BACK)
  }
}
