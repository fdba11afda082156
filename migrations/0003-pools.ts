import { Migration } from '@mikro-orm/migrations'

// A grant stays after its release, so that it can be seen who held what; those that are held are found by the partial index.
// `pool_usage` has what was in use from each event of a pool on until the next.
const AMOUNTS = (of: string) =>
  `${of}_slots integer not null, ${of}_cpu integer not null, ${of}_memory bigint not null, ${of}_disk bigint not null`

const CHANGES = `
alter table executions add waiting json;
create index stages_in_pools on stages (execution_id) where waiting_for = 'pool';

create table pools (
  namespace text not null,
  name text not null,
  ${AMOUNTS('capacity')},
  ${AMOUNTS('in_use')},
  revision bigint not null,
  position bigint not null,
  updated_at timestamptz not null,
  primary key (namespace, name)
) with (fillfactor = 50);

create table pool_grants (
  namespace text not null,
  pool text not null,
  fence bigint not null,
  execution_id uuid not null,
  stage text not null,
  attempt integer not null,
  slots integer not null,
  cpu integer not null,
  memory bigint not null,
  disk bigint not null,
  granted_at timestamptz not null,
  released_at timestamptz,
  primary key (namespace, pool, fence)
) with (fillfactor = 60);
create index pool_grants_held on pool_grants (namespace, pool, fence) where released_at is null;

create table pool_usage (
  namespace text not null,
  pool text not null,
  position bigint not null,
  at timestamptz not null,
  ${AMOUNTS('capacity')},
  ${AMOUNTS('in_use')},
  primary key (namespace, pool, position)
);
create index pool_usage_by_time on pool_usage (namespace, pool, at, position);
`

const BACK = `
drop table pool_usage, pool_grants, pools;
delete from checkpoints where name = 'pools';
drop index stages_in_pools;
alter table executions drop waiting;
`

export class Pools extends Migration {
  override up(): void {
    this.addSql(CHANGES)
  }

  override down(): void {
    this.addSql(BACK)
  }
}
