// What the API answers: the schemas that OpenAPI shows, and how views become answers. Revisions and positions are
// strings over HTTP, since they outgrow what every client's numbers hold.
import { z } from 'zod'
import type { Controlled } from '../commands/control-execution.ts'
import type { Json, RecordedEvent } from '../domain/message.ts'
import type { LogLine } from '../ports/stage-logs.ts'
import type { ExecutionGraph } from '../queries/graph.ts'
import type { Page } from '../queries/page.ts'
import type { ExecutionSummary, ExecutionView, WorkflowView } from '../queries/queries.ts'
import type { RunDiff } from '../queries/time-travel.ts'

export const position = z.string().meta({ description: 'A place in the whole log.', examples: ['4711'] })
export const revision = z.string().meta({ description: 'A place in the stream, from 0.', examples: ['12'] })
export const time = z.string().meta({ description: 'ISO 8601 in UTC.', examples: ['2030-01-31T18:00:00.000Z'] })
export const json = z.custom<Json>().meta({ description: 'Any JSON.' })

export const pageOf = <T extends z.ZodType>(item: T) =>
  z.object({
    items: z.array(item).readonly(),
    nextCursor: z.string().nullable().meta({ description: '`cursor` of the next page; null after the last.' }),
  })

export const registeredSchema = z.object({ name: z.string(), version: z.int(), position }).meta({ id: 'Registered' })
export const retiredSchema = z.object({ name: z.string(), position }).meta({ id: 'Retired' })
export const startedSchema = z.object({ id: z.string(), position }).meta({ id: 'Started' })
export const controlledSchema = z.object({ id: z.string(), revision, position }).meta({ id: 'Controlled' })

const workflowSummary = z.object({
  namespace: z.string(),
  name: z.string(),
  version: z.int().meta({ description: 'The newest, counted from 1.' }),
  status: z.enum(['active', 'retired']),
  createdAt: time,
  updatedAt: time,
})
export const workflowSchema = workflowSummary.extend({ source: json }).meta({ id: 'Workflow' })
export const workflowsSchema = pageOf(workflowSummary).meta({ id: 'Workflows' })
export const workflowVersionsSchema = pageOf(z.object({ version: z.int(), createdAt: time, source: json })).meta({
  id: 'WorkflowVersions',
})

const ids = z.array(z.string()).readonly()
export const descriptionSchema = z
  .object({
    name: z.string(),
    stages: z.int(),
    edges: z.int(),
    order: ids.meta({ description: 'Every stage after all that it needs.' }),
    levels: z.array(ids).readonly().meta({ description: 'Stages that can run at once, level by level.' }),
    roots: ids,
    leaves: ids,
    width: z.int().meta({ description: 'How many stages can run at once at most.' }),
    criticalPath: z
      .object({ path: ids, totalMs: z.number() })
      .meta({ description: 'The chain that takes longest when every stage takes its whole timeout.' }),
  })
  .meta({ id: 'WorkflowDescription' })

export const generatedSchema = z
  .object({
    document: json,
    yaml: z.string().meta({ description: 'The document as a file for people to keep.' }),
    explanations: z
      .array(z.object({ stage: z.string(), template: z.string(), phase: z.string(), why: z.string() }))
      .readonly(),
    omissions: z
      .array(z.object({ stage: z.string(), why: z.string() }))
      .readonly()
      .meta({ description: 'Stages that were asked for and that no command is known for.' }),
    summary: descriptionSchema,
  })
  .meta({ id: 'GeneratedWorkflow' })

export const stageError = z.object({
  code: z.string(),
  message: z.string(),
  retryable: z.boolean().optional(),
  exitCode: z.int().optional(),
  signal: z.string().optional(),
  httpStatus: z.int().optional(),
  details: json.optional(),
})
const stageStatus = z.enum([
  'blocked',
  'waiting',
  'scheduled',
  'running',
  'retrying',
  'completed',
  'failed',
  'skipped',
  'cancelled',
])
export const resourceName = z.enum(['slots', 'cpu', 'memory', 'disk'])
export const blockers = z.array(z.object({ executionId: z.string(), stage: z.string().optional() })).readonly()
export const stageSchema = z.object({
  status: stageStatus,
  attempt: z.int().meta({ description: 'The latest attempt; 0 before the first.' }),
  startedAt: time.optional(),
  finishedAt: time.optional(),
  output: json.optional(),
  error: stageError.optional(),
  waiting: z
    .object({
      for: z.enum(['timer', 'retry', 'approval', 'signal', 'person', 'pool']),
      until: time.optional(),
      approvers: z
        .array(z.string())
        .readonly()
        .optional()
        .meta({ description: 'Who may grant it; anybody where it is empty.' }),
      required: z.int().optional().meta({ description: 'How many have to grant it.' }),
      granted: z.array(z.string()).readonly().optional().meta({ description: 'Who has granted it.' }),
      signal: z.string().optional().meta({ description: 'Name of the signal.' }),
      pool: z.string().optional().meta({ description: 'Name of the pool.' }),
      reason: z
        .enum(['asked', 'capacity', 'turn'])
        .optional()
        .meta({ description: 'Of a pool: just asked, too little is free, or others come first.' }),
      short: z.array(resourceName).readonly().optional().meta({ description: 'What the pool has too little of.' }),
      blockers: blockers.optional().meta({ description: 'Some of those who hold the pool or come first.' }),
    })
    .optional(),
  reason: z.string().optional(),
  checkpoint: z
    .object({ attempt: z.int(), sequence: z.int() })
    .optional()
    .meta({ description: 'The latest state that it saved; both are 0 where that was in the run restored from.' }),
  parent: z.string().optional().meta({ description: 'The stage that generated it.' }),
})

const executionSummary = z.object({
  id: z.string(),
  namespace: z.string(),
  workflow: z.string(),
  version: z.int(),
  status: z.enum(['running', 'paused', 'cancelling', 'completed', 'failed', 'cancelled']),
  labels: z.record(z.string(), z.string()),
  priority: z.int(),
  error: z.object({ code: z.string(), message: z.string(), stages: ids }).optional(),
  restoredFrom: z
    .object({ executionId: z.string(), revision })
    .optional()
    .meta({ description: 'The run, and the place in its stream, that this one goes on from.' }),
  parent: z
    .object({ executionId: z.string(), stage: z.string(), attempt: z.int(), depth: z.int() })
    .optional()
    .meta({ description: 'The stage of another run that this run does the work of.' }),
  waiting: z
    .object({ for: z.literal('concurrency'), group: z.string(), blockers })
    .optional()
    .meta({ description: 'Nothing of the run has begun: its concurrency group has no room for it yet.' }),
  archivedIn: z.string().optional().meta({ description: 'File of the archive that has the stream of the run.' }),
  startedAt: time,
  finishedAt: time.optional(),
  revision,
  position,
})
export const executionSchema = executionSummary
  .extend({ input: json, output: json.optional(), stages: z.record(z.string(), stageSchema) })
  .meta({ id: 'Execution' })
const timerSchema = z.object({
  does: z.enum(['time-out-execution', 'time-out-stage', 'retry', 'wake']),
  stage: z.string().optional(),
  attempt: z.int().optional(),
  dueAt: time,
})
export const stateSchema = executionSchema
  .extend({
    variables: z
      .object({ input: json, execution: json, stages: json })
      .optional()
      .meta({ description: 'What expressions could read.' }),
    timers: z.array(timerSchema).readonly().optional().meta({ description: 'Timers that were set, the next first.' }),
  })
  .meta({ id: 'ExecutionState' })
export const diffSchema = z
  .object({
    from: revision,
    to: revision,
    changes: z
      .array(
        z.object({
          path: z.string().meta({ description: 'JSON pointer.', examples: ['/stages/build/status'] }),
          before: json.optional(),
          after: json.optional(),
        }),
      )
      .readonly(),
    events: z.object({ count: z.int(), types: z.record(z.string(), z.int()) }),
  })
  .meta({ id: 'ExecutionDiff', description: 'A value that was not there is left out on that side.' })
export const executionsSchema = pageOf(executionSummary).meta({ id: 'Executions' })

const eventSchema = z
  .object({
    id: z.string(),
    type: z.string(),
    version: z.int(),
    stream: z.string(),
    revision,
    position,
    at: time,
    data: z.custom<object>().meta({ description: '`stage` names the stage where there is one.' }),
    metadata: z.custom<object>(),
  })
  .meta({ id: 'Event' })
export const historySchema = pageOf(eventSchema).meta({ id: 'History' })

export const graphSchema = z
  .object({
    nodes: z
      .array(
        z.object({
          id: z.string(),
          uses: z.string(),
          level: z.int(),
          status: stageStatus,
          attempt: z.int(),
          parent: z.string().optional().meta({ description: 'The stage that generated it.' }),
          compensates: z.string().optional().meta({ description: 'The stage that it undoes.' }),
        }),
      )
      .readonly(),
    edges: z.array(z.object({ from: z.string(), to: z.string() })).readonly(),
    status: executionSummary.shape.status,
    revision,
    position,
  })
  .meta({ id: 'Graph' })

const logLine = z.object({ line: z.int(), at: time, stream: z.enum(['stdout', 'stderr', 'log']), text: z.string() })
export const logsSchema = pageOf(logLine).extend({ attempt: z.int() }).meta({ id: 'StageLogs' })

/** Revision and position of a view as HTTP has them. */
export const placed = <T extends { readonly revision: number; readonly position: number }>(view: T) => ({
  ...view,
  revision: String(view.revision),
  position: String(view.position),
})

/** The same for the place that a run was restored from. */
const restored = <T extends Pick<ExecutionView, 'restoredFrom'>>({ restoredFrom, ...view }: T) => ({
  ...view,
  ...(restoredFrom ? { restoredFrom: { ...restoredFrom, revision: String(restoredFrom.revision) } } : {}),
})

export const toExecution = (view: ExecutionView) => restored(placed(view))
export const toExecutions = ({ items, nextCursor }: Page<ExecutionSummary>) => ({
  items: items.map((view) => restored(placed(view))),
  nextCursor,
})
export const toEvent = (event: RecordedEvent): z.input<typeof eventSchema> => {
  const { id, type, version, stream, at, data, metadata } = event
  return {
    ...placed({ id, type, version, stream, revision: event.revision, position: event.position }),
    at,
    data,
    metadata,
  }
}
export const toControlled = ({ id, revision, position }: Controlled) => placed({ id, revision, position })
export const toDiff = (diff: RunDiff) => ({ ...diff, from: String(diff.from), to: String(diff.to) })
export const toGraph = (graph: ExecutionGraph) => placed(graph)
/** A page of workflows leaves the documents out: each can be as large as a body may be. */
export const toWorkflows = ({ items, nextCursor }: Page<WorkflowView>) => ({
  items: items.map(({ source: _, ...summary }) => summary),
  nextCursor,
})
export const toLogs = (attempt: number, lines: readonly LogLine[], limit: number) => ({
  attempt,
  items: lines,
  nextCursor: lines.length === limit ? String(lines.at(-1)?.line) : null,
})
