import { Migration } from '@mikro-orm/migrations'

// The chain of each namespace: `sequence` counts in it, `hash` links each record to the one before. `leads` marks the first event
// of each command. Rows from before have none of it until the projection has been built again.
const CHANGES = `
alter table events add command text, add source text, add reason text, add sequence bigint, add leads boolean, add hash text;
create unique index events_in_chain on events (namespace, sequence);
create index events_by_command on events (namespace, at, position) where leads;
create index events_refused on events (namespace, at, position) where type = 'CommandRefused';

create table audit_chains (
  namespace text primary key,
  sequence bigint not null,
  hash text not null,
  command_id uuid not null,
  position bigint not null
) with (fillfactor = 50);
`

const BACK = `
drop table audit_chains;
drop index events_in_chain, events_by_command, events_refused;
alter table events drop command, drop source, drop reason, drop sequence, drop leads, drop hash;
`

export class Audit extends Migration {
  override up(): void {
    this.addSql(CHANGES)
  }

  override down(): void {
    this.addSql(BACK)
  }
}
