import { Migration } from '@mikro-orm/migrations'

// `granted` is the members of a JSON array without its brackets, so that one more is appended as text.
// `failed_at` is there beside `finished_at` since the index may not stand in the way of attempts that end well.
// A stage that was generated stands after all that were there before: its ordinal counts from the event's revision.
const CHANGES = `
alter table executions add output json, add restored_from json, add parent json;
alter table executions alter column output set storage external;
alter table stages alter ordinal type bigint, add parent text, add waiting json, add granted text, add checkpoint json;
alter table attempts add failed_at timestamptz;
create index attempts_failed on attempts (failed_at) where failed_at is not null;
`

const BACK = `
drop index attempts_failed;
alter table attempts drop failed_at;
truncate executions, stages, attempts;
alter table stages drop parent, drop waiting, drop granted, drop checkpoint, alter ordinal type integer;
alter table executions drop output, drop restored_from, drop parent;
`

export class RunDetails extends Migration {
  override up(): void {
    this.addSql(CHANGES)
  }

  override down(): void {
    this.addSql(BACK)
  }
}
