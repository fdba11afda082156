import { Migration } from '@mikro-orm/migrations'

// What stages of workers in other processes wrote. No projection has it: it does not come from the log.
const TABLE = `
create table stage_logs (
  execution_id uuid not null,
  stage text not null,
  attempt integer not null,
  line integer not null,
  at timestamptz not null,
  stream text not null check (stream in ('stdout', 'stderr', 'log')),
  text text not null,
  primary key (execution_id, stage, attempt, line)
);
`

export class StageLogs extends Migration {
  override up(): void {
    this.addSql(TABLE)
  }

  override down(): void {
    this.addSql('drop table stage_logs')
  }
}
