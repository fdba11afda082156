// The tables as MikroORM sees them, for questions; projections write them in bulk, and migrations make them.
import { defineEntity, type InferEntity, p } from '@mikro-orm/core'
import type { Blocker, ExecutionEventOf, ParentStage } from '../domain/execution/events.ts'
import type { Json } from '../domain/message.ts'
import type { WorkerRegistration } from '../domain/worker/events.ts'
import type { CompiledWorkflow } from '../domain/workflow/definition.ts'

/** Kept as it was sent, which `jsonb` would not do. */
const document = () => p.json().columnType('json')

export const Workflow = defineEntity({
  name: 'Workflow',
  tableName: 'workflows',
  properties: {
    namespace: p.text().primary(),
    name: p.text().primary(),
    version: p.integer(),
    status: p.text(),
    createdAt: p.datetime(),
    updatedAt: p.datetime(),
    source: document().$type<Json>(),
  },
})

export const WorkflowVersion = defineEntity({
  name: 'WorkflowVersion',
  tableName: 'workflow_versions',
  properties: {
    namespace: p.text().primary(),
    name: p.text().primary(),
    version: p.integer().primary(),
    createdAt: p.datetime(),
    fingerprint: p.text(),
    source: document().$type<Json>(),
    definition: document().$type<CompiledWorkflow>().lazy(),
  },
})

export const Execution = defineEntity({
  name: 'Execution',
  tableName: 'executions',
  properties: {
    id: p.uuid().primary(),
    namespace: p.text(),
    workflow: p.text(),
    version: p.integer(),
    status: p.text(),
    input: document().$type<Json>().lazy(),
    labels: p.json().$type<{ [name: string]: string }>(),
    priority: p.integer(),
    error: document().$type<ExecutionEventOf<'ExecutionFailed'>['data']['error']>().nullable(),
    startedAt: p.datetime(),
    finishedAt: p.datetime().nullable(),
    revision: p.bigint('number'),
    position: p.bigint('number'),
    restoredFrom: document()
      .$type<NonNullable<ExecutionEventOf<'ExecutionStarted'>['data']['restoredFrom']>>()
      .nullable(),
    parent: document().$type<ParentStage>().nullable(),
    waiting: document().$type<{ for: 'concurrency'; group: string; blockers: readonly Blocker[] }>().nullable(),
    archivedIn: p.text().nullable(),
    restoredAt: p.datetime().nullable(),
  },
})

export const Worker = defineEntity({
  name: 'Worker',
  tableName: 'workers',
  properties: {
    id: p.uuid().primary(),
    status: p.text(),
    since: p.datetime(),
    reason: p.text().nullable(),
    registeredAt: p.datetime(),
    host: p.text(),
    pid: p.integer(),
    version: p.text(),
    queues: document().$type<WorkerRegistration['queues']>(),
    labels: document().$type<WorkerRegistration['labels']>(),
    concurrency: p.integer(),
    handlers: document().$type<WorkerRegistration['handlers']>(),
  },
})

const Checkpoint = defineEntity({
  name: 'Checkpoint',
  tableName: 'checkpoints',
  properties: {
    name: p.text().primary(),
    version: p.integer(),
    position: p.bigint('number'),
    status: p.text(),
    error: p.text().nullable(),
    eventAt: p.datetime().nullable(),
  },
})

export type WorkflowRow = InferEntity<typeof Workflow>
export type ExecutionRow = InferEntity<typeof Execution>
export type WorkerRow = InferEntity<typeof Worker>

export const entities = [Workflow, WorkflowVersion, Execution, Worker, Checkpoint]
