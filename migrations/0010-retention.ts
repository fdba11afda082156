import { Migration } from '@mikro-orm/migrations'

// Which file of the archive has the stream of a run, and when it was last put back. Of a chain the last record that retention has
// removed: what comes after it is linked to its hash.
const CHANGES = `
alter table executions add archived_in text, add restored_at timestamptz;
alter table audit_chains add removed_to bigint not null default 0, add removed_hash text;
`

const BACK = `
alter table audit_chains drop removed_to, drop removed_hash;
alter table executions drop archived_in, drop restored_at;
`

export class Retention extends Migration {
  override up(): void {
    this.addSql(CHANGES)
  }

  override down(): void {
    this.addSql(BACK)
  }
}
