import { Migration } from '@mikro-orm/migrations'

// Documents that are only handed back are `json`, which keeps them as they were sent: `jsonb` would reorder their
// members and refuse a NUL that a script printed. They are stored in the row, as they are: to compress them, or to put them elsewhere, costs the writer most.
// Rows that change leave a part of each page free, so that a change stays on its page and touches no index.
const TABLES = `
create table checkpoints (
  name text primary key,
  version integer not null,
  position bigint not null,
  status text not null,
  error text,
  failed_position bigint,
  failed_event json,
  event_at timestamptz,
  updated_at timestamptz not null
) with (fillfactor = 50);

create table workflows (
  namespace text not null,
  name text not null,
  version integer not null,
  status text not null,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  source json not null,
  primary key (namespace, name)
);

create table workflow_versions (
  namespace text not null,
  name text not null,
  version integer not null,
  created_at timestamptz not null,
  fingerprint text not null,
  source json not null,
  definition json not null,
  primary key (namespace, name, version)
);

create table executions (
  id uuid primary key,
  namespace text not null,
  workflow text not null,
  version integer not null,
  status text not null,
  input json not null,
  labels jsonb not null,
  priority integer not null,
  error json,
  started_at timestamptz not null,
  finished_at timestamptz,
  revision bigint not null,
  position bigint not null
) with (fillfactor = 60, toast_tuple_target = 8160);
alter table executions alter column input set storage external;
create index executions_by_start on executions (namespace, started_at desc, id desc);
create index executions_by_workflow on executions (namespace, workflow, started_at desc, id desc);
create index executions_by_status on executions (namespace, status, started_at desc, id desc) where status <> 'completed';
create index executions_by_label on executions using gin (labels);

create table stages (
  execution_id uuid not null,
  stage text not null,
  ordinal integer not null,
  status text not null,
  attempt integer not null,
  started_at timestamptz,
  finished_at timestamptz,
  output json,
  error json,
  waiting_for text,
  waiting_until timestamptz,
  reason text,
  primary key (execution_id, stage)
) with (fillfactor = 60);
alter table stages alter column output set storage external;

create table attempts (
  execution_id uuid not null,
  stage text not null,
  attempt integer not null,
  worker text,
  scheduled_at timestamptz,
  started_at timestamptz,
  finished_at timestamptz,
  outcome text,
  error json,
  class text,
  rule text,
  recovery text,
  primary key (execution_id, stage, attempt)
) with (fillfactor = 60);

create table events (
  position bigint primary key,
  id uuid not null,
  stream text not null,
  revision bigint not null,
  type text not null,
  version integer not null,
  namespace text not null,
  at timestamptz not null,
  actor text not null,
  correlation_id uuid not null,
  causation_id uuid,
  command_id uuid not null,
  data json not null
);
alter table events alter column data set storage external;
alter table events set (toast_tuple_target = 8160);
`

export class ReadModels extends Migration {
  override up(): void {
    this.addSql(TABLES)
  }

  override down(): void {
    this.addSql('drop table events, attempts, stages, executions, workflow_versions, workflows, checkpoints')
  }
}
