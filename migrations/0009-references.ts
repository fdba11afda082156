import { Migration } from '@mikro-orm/migrations'

// Within a projection only: each has a checkpoint of its own, and may be built again by itself. Rows that are there are not looked at: were
// one of them wrong the program could not start, and nobody could have them built again.
const REFERENCES = [
  ['workflow_versions', 'namespace, name', 'workflows'],
  ['stages', 'execution_id', 'executions', 'id'],
  ['attempts', 'execution_id, stage', 'stages'],
  ['pool_grants', 'namespace, pool', 'pools', 'namespace, name'],
  ['pool_usage', 'namespace, pool', 'pools', 'namespace, name'],
  ['schedule_runs', 'namespace, schedule', 'schedules', 'namespace, name'],
] as const
const STATUSES = {
  workflows: "'active', 'retired'",
  executions: "'running', 'paused', 'cancelling', 'completed', 'failed', 'cancelled'",
  stages: "'blocked', 'waiting', 'scheduled', 'running', 'retrying', 'completed', 'failed', 'skipped', 'cancelled'",
  workers: "'running', 'draining', 'stopped', 'lost'",
  schedules: "'active', 'paused', 'deleted'",
} as const

export class References extends Migration {
  override up(): void {
    for (const [table, columns, other, theirs = columns] of REFERENCES)
      this.addSql(
        `alter table ${table} add constraint ${table}_of_${other} foreign key (${columns}) references ${other} (${theirs}) not valid`,
      )
    for (const [table, statuses] of Object.entries(STATUSES))
      this.addSql(`alter table ${table} add constraint ${table}_status check (status in (${statuses})) not valid`)
  }

  override down(): void {
    for (const table of Object.keys(STATUSES)) this.addSql(`alter table ${table} drop constraint ${table}_status`)
    for (const [table, , other] of REFERENCES) this.addSql(`alter table ${table} drop constraint ${table}_of_${other}`)
  }
}
