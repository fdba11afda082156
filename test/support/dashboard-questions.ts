// What dashboards ask of the read models that `fillReadModels` makes; what differs from one time to the next is drawn anew.
import type { Pool } from 'pg'
import type { Queries } from '../../src/queries/queries.ts'
import { WORKFLOWS } from './fill-read-models.ts'

const NAMESPACE = 'default'
const DAY_MS = 86_400_000

export type Questions = Readonly<Record<string, () => Promise<unknown>>>

export async function dashboardQuestions(pool: Pool, queries: Queries): Promise<Questions> {
  const some = await pool.query('SELECT id FROM executions ORDER BY id DESC LIMIT 500')
  const ids = some.rows.map(({ id }) => id as string)
  const pick = <T>(of: readonly T[]): T => of[Math.floor(Math.random() * of.length)]!
  const workflow = () => pick(WORKFLOWS)
  const ago = (days: number) => new Date(Date.now() - days * DAY_MS).toISOString()
  const someDay = () => {
    const day = Math.floor(Math.random() * 80)
    return { from: ago(day + 1), to: ago(day) }
  }
  const month = { from: day(30), to: day(-1), grain: 'day' } as const
  const page = { limit: 50 }
  const deep = (await queries.executions(NAMESPACE, { to: ago(45) }, page)).nextCursor!
  return {
    executions: () => queries.executions(NAMESPACE, {}, page),
    'executions, deep page': () => queries.executions(NAMESPACE, {}, { ...page, cursor: deep }),
    'executions of a workflow': () => queries.executions(NAMESPACE, { workflow: workflow() }, page),
    'executions that failed': () => queries.executions(NAMESPACE, { status: 'failed' }, page),
    'executions that run': () => queries.executions(NAMESPACE, { status: 'running' }, page),
    'executions with a label': () =>
      queries.executions(NAMESPACE, { label: `team=team-${Math.floor(Math.random() * 20)}` }, page),
    'executions of a day': () => queries.executions(NAMESPACE, someDay(), page),
    'executions of a workflow that failed on a day': () =>
      queries.executions(NAMESPACE, { workflow: workflow(), status: 'failed', ...someDay() }, page),
    'one execution': () => queries.execution(NAMESPACE, pick(ids)),
    workflows: () => queries.workflows(NAMESPACE, page),
    'failures of a day': () => queries.failures(NAMESPACE, { groupBy: ['class'], ...someDay(), limit: 50 }),
    'failures of a month': () =>
      queries.failures(NAMESPACE, { groupBy: ['workflow', 'stage'], from: ago(30), to: ago(0), limit: 50 }),
    'analytics by workflow, a month': () => queries.analytics.by(NAMESPACE, { by: 'workflow', limit: 50, ...month }),
    'analytics by label, a month': () => queries.analytics.by(NAMESPACE, { by: 'label', limit: 50, ...month }),
    'analytics by stage, a month': () =>
      queries.analytics.by(NAMESPACE, { by: 'stage', workflow: workflow(), limit: 50, ...month }),
    'series of days, a quarter': () =>
      queries.analytics.series(NAMESPACE, {
        of: 'workflow',
        key: workflow(),
        from: day(90),
        to: day(-1),
        grain: 'day',
        step: 'day',
      }),
    'series of hours, four days': () =>
      queries.analytics.series(NAMESPACE, {
        of: 'namespace',
        key: '',
        from: ago(4),
        to: ago(0),
        grain: 'hour',
        step: 'hour',
      }),
    audit: () => queries.audit.list(NAMESPACE, {}, page),
    'audit of a person': () => queries.audit.list(NAMESPACE, { actor: 'user:ada' }, page),
    'audit, refused': () => queries.audit.list(NAMESPACE, { outcome: 'refused' }, page),
    pools: () => queries.pools(NAMESPACE, page),
    workers: () => queries.workers(NAMESPACE, {}, page),
    projections: () => queries.projections(),
  }
}

function day(ago: number): string {
  return new Date(Math.floor((Date.now() - ago * DAY_MS) / DAY_MS) * DAY_MS).toISOString()
}
