import { Migration } from '@mikro-orm/migrations'

// Every run is counted in a row of its hour and one of its day, for the namespace, its workflow, its labels and its stages.
const CHANGES = `
create table analytics (
  namespace text not null,
  dimension text not null check (dimension in ('namespace', 'workflow', 'label', 'stage')),
  key text not null,
  grain text not null check (grain in ('hour', 'day')),
  since timestamptz not null,
  ended bigint not null,
  completed bigint not null,
  failed bigint not null,
  cancelled bigint not null,
  skipped bigint not null,
  attempts bigint not null,
  retries bigint not null,
  flaky bigint not null,
  duration_ms bigint not null,
  wait_ms bigint not null,
  primary key (namespace, dimension, key, grain, since)
) with (fillfactor = 70);

create table analytics_durations (
  namespace text not null,
  dimension text not null,
  key text not null,
  grain text not null,
  since timestamptz not null,
  measure text not null check (measure in ('duration', 'wait')),
  bucket integer not null,
  count bigint not null,
  primary key (namespace, dimension, key, grain, since, measure, bucket)
) with (fillfactor = 70);

`

const BACK = `
drop table analytics_durations, analytics;
`

export class Analytics extends Migration {
  override up(): void {
    this.addSql(CHANGES)
  }

  override down(): void {
    this.addSql(BACK)
  }
}
