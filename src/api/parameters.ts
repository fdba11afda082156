// What paths, queries and headers are made of, each pattern in one place.
import { z } from 'zod'
import { signalNamePattern } from '../domain/workflow/handler-names.ts'
import { parseDurationMs } from '../domain/workflow/units.ts'
import { executionSorts, workerSorts, workflowSorts } from '../queries/sort.ts'

/** Names of routes of their own, which a namespace therefore cannot have. */
const reserved = new Set(['admin', 'live'])

const namespace = z
  .string()
  .regex(/^[a-z][a-z0-9-]{0,62}$/)
  .refine((name) => !reserved.has(name))
  .meta({ description: 'Namespace; `default` exists from the start.', examples: ['default'] })
const uuid = z.string().regex(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/)
export const name = z.string().regex(/^[a-z][a-z0-9_-]{0,62}$/)
/** Stages that a run generates have the values of their combination in the name. */
const stageName = z.string().regex(/^[a-z][A-Za-z0-9_.-]{0,127}$/)

export const namespaceParams = z.strictObject({ namespace })
export const workflowParams = z.strictObject({ namespace, name: name.meta({ description: 'Name of the workflow.' }) })
export const poolParams = z.strictObject({ namespace, name: name.meta({ description: 'Name of the pool.' }) })
export const projectionParams = z.strictObject({ name: name.meta({ description: 'Name of the projection.' }) })
export const executionParams = z.strictObject({ namespace, id: uuid.meta({ description: 'Id of the execution.' }) })
export const stageParams = executionParams.extend({ stage: stageName.meta({ description: 'Id of the stage.' }) })
export const signalParams = executionParams.extend({
  name: z.string().regex(signalNamePattern).meta({ description: 'Name of the signal.' }),
})

/** Fifteen digits stay within the integers that a number holds exactly. */
export const whole = (what: string) =>
  z
    .string()
    .regex(/^\d{1,15}$/, `${what} is a whole number`)
    .transform(Number)

/** A position in a body: text, as positions are answered. */
export const positionIn = whole('position')
/** Why, for whoever reads it later. */
export const reasonText = z.string().min(1).max(500).meta({ description: 'Why, for whoever reads it later.' })

const MAX_LIMIT = 200
const DEFAULT_LIMIT = 50
export const limit = whole('limit')
  .refine((count) => count >= 1 && count <= MAX_LIMIT, `limit is 1 to ${MAX_LIMIT}`)
  .meta({ description: `1 to ${MAX_LIMIT}; ${DEFAULT_LIMIT} where it is left out.` })
const cursor = z.string().min(1).max(1_024).meta({ description: '`nextCursor` of the page before.' })

const MAX_WAIT_MS = 30_000
const wait = z
  .string()
  .regex(/^\d{1,5}(ms|s)$/, 'wait is a duration such as 500ms or 2s')
  .transform((text) => Number.parseInt(text, 10) * (text.endsWith('ms') ? 1 : 1_000))
  .refine((ms) => ms <= MAX_WAIT_MS, 'wait is 30s at most')
  .meta({ description: 'How long to wait for `minPosition`; 2s where it is left out, 30s at most.' })

/** Read your writes: what a command answered as `position` goes here. */
export const freshness = {
  minPosition: whole('minPosition')
    .optional()
    .meta({ description: '`position` that a command answered: nothing older than it is answered.' }),
  wait: wait.optional(),
}

export const freshQuery = z.strictObject(freshness)
export const pageQuery = z.strictObject({
  ...freshness,
  limit: limit.default(DEFAULT_LIMIT),
  cursor: cursor.optional(),
})
export type Freshness = z.output<typeof freshQuery>

export const instant = z.iso
  .datetime({ offset: true, error: 'expected a time such as 2030-01-31T18:00:00Z' })
  .refine((text) => Date.parse(text) >= 0, 'times are of 1970 or later')

const sortBy = <const S extends readonly [string, ...string[]]>(sorts: S) =>
  z
    .enum(sorts)
    .default(sorts[0] as S[number])
    .meta({ description: `By which member, with a hyphen the greatest first; ${sorts[0]} where it is left out.` })

export const workflowsQuery = pageQuery.extend({ sort: sortBy(workflowSorts) })
export const executionsQuery = pageQuery.extend({
  sort: sortBy(executionSorts),
  workflow: name.optional().meta({ description: 'Runs of this workflow.' }),
  status: z.enum(['running', 'paused', 'cancelling', 'completed', 'failed', 'cancelled']).optional(),
  label: z
    .string()
    .regex(/^[a-zA-Z][a-zA-Z0-9._-]{0,62}(=.{0,256})?$/s, 'label is name or name=value')
    .optional()
    .meta({ description: 'Runs with this label, as `name` or `name=value`.' }),
  from: instant.optional().meta({ description: 'Started at this time or later.' }),
  to: instant.optional().meta({ description: 'Started before this time.' }),
})

export const workersQuery = pageQuery.extend({
  sort: sortBy(workerSorts),
  status: z.enum(['running', 'draining', 'stopped', 'lost']).optional(),
})
/** One that a workflow defines is named for both: `release.nightly`. */
const scheduleName = z.string().regex(/^[a-z][a-z0-9_-]{0,62}(\.[a-z][a-z0-9_-]{0,62})?$/)
export const scheduleParams = z.strictObject({
  namespace,
  name: scheduleName.meta({ description: 'Name of the schedule.' }),
})
export const ownScheduleParams = z.strictObject({
  namespace,
  name: name.meta({ description: 'Name of the schedule.' }),
})
export const schedulesQuery = pageQuery.extend({
  workflow: name.optional().meta({ description: 'Schedules of this workflow.' }),
})
const MAX_UPCOMING = 100
const upcoming = whole('count')
  .refine((count) => count >= 1 && count <= MAX_UPCOMING, `count is 1 to ${MAX_UPCOMING}`)
  .default(10)
  .meta({ description: `How many, at most ${MAX_UPCOMING}; 10 where it is left out.` })
export const upcomingQuery = z.strictObject({ ...freshness, count: upcoming })
export const previewQuery = z.strictObject({ count: upcoming })

const MAX_VERSION = 999_999_999
const MAX_RUNS = 1_000
const DEFAULT_RUNS = 200

export const adviceQuery = z.strictObject({
  ...freshness,
  version: whole('version')
    .refine((version) => version >= 1 && version <= MAX_VERSION, 'versions count from 1')
    .optional()
    .meta({ description: 'The newest where it is left out.' }),
  runs: whole('runs')
    .refine((count) => count >= 1 && count <= MAX_RUNS, `runs is 1 to ${MAX_RUNS}`)
    .default(DEFAULT_RUNS)
    .meta({
      description: `How many of the newest ended runs to look at, at most ${MAX_RUNS}; ${DEFAULT_RUNS} where it is left out.`,
    }),
})
/** A list in one parameter, `a,b`: at most three different members of `of`. */
const listOf = <const T extends string>(of: readonly T[]) =>
  z
    .string()
    .transform((text) => text.split(',') as T[])
    .refine((list) => list.length <= 3 && new Set(list).size === list.length && list.every((one) => of.includes(one)), {
      error: `expected up to three different ones of ${of.join(', ')}, with commas between them`,
    })

/** The log is read as it is now, so whatever position a command answered is in it already. */
const moment = z.strictObject({
  ...freshness,
  revision: whole('revision').optional().meta({ description: 'As it was after the event at this revision.' }),
  at: instant.optional().meta({ description: 'As it was at this time; not together with `revision`.' }),
})
const isOneMoment = ({ revision, at }: { revision?: number | undefined; at?: string | undefined }): boolean =>
  revision === undefined || at === undefined
const oneMoment = { error: 'revision and at say two different moments; give one of them', path: ['at'] }

export const momentQuery = moment.refine(isOneMoment, oneMoment)
export const stateQuery = moment
  .extend({
    include: listOf(['variables', 'timers'])
      .optional()
      .meta({ description: 'What else to answer: `variables`, `timers`, or both with a comma between them.' }),
  })
  .refine(isOneMoment, oneMoment)

export const diffQuery = z
  .strictObject({
    ...freshness,
    from: whole('from').meta({ description: 'The revision to begin with; what it brought is not part of the answer.' }),
    to: whole('to').optional().meta({ description: 'The revision to end with; the latest where it is left out.' }),
  })
  .refine(({ from, to = from }) => from <= to, { error: 'from comes after to', path: ['from'] })

export const failuresQuery = z
  .strictObject({
    ...freshness,
    groupBy: listOf(['class', 'rule', 'workflow', 'stage'])
      .default(['class'])
      .meta({ description: 'Up to three of `class`, `rule`, `workflow` and `stage`, with commas between them.' }),
    limit: limit.default(DEFAULT_LIMIT),
    workflow: name.optional().meta({ description: 'Failures in runs of this workflow.' }),
    stage: stageName.optional().meta({ description: 'Failures of stages of this id.' }),
    class: z
      .string()
      .regex(/^[a-z][a-z-]{0,62}$/)
      .optional()
      .meta({ description: 'Failures of this class.' }),
    from: instant.optional().meta({ description: 'Failed at this time or later.' }),
    to: instant.optional().meta({ description: 'Failed before this time.' }),
  })
  .refine(({ from, to }) => from === undefined || to === undefined || Date.parse(from) <= Date.parse(to), {
    error: 'from comes after to',
    path: ['from'],
  })

const step = z
  .string()
  .refine((text) => (parseDurationMs(text) ?? 0) >= 1_000, 'step is a duration of a second or more, such as 10s or 5m')
  .transform((text) => parseDurationMs(text)!)

export const utilisationQuery = z.strictObject({
  ...freshness,
  from: instant.optional().meta({ description: 'From this time on; a day before `to` where it is left out.' }),
  to: instant.optional().meta({ description: 'Before this time; now where it is left out.' }),
  step: step.optional().meta({ description: 'A duration such as 5m.' }),
})

const position = (what: string) => whole(what).optional()

export const historyQuery = z.strictObject({
  ...freshness,
  from: position('from').meta({ description: 'First revision to answer; 0 where it is left out.' }),
  cursor: position('cursor').meta({ description: '`nextCursor` of the page before, in place of `from`.' }),
  limit: limit.optional(),
})

export const logsQuery = z.strictObject({
  ...freshness,
  attempt: whole('attempt')
    .refine((attempt) => attempt >= 1, 'attempts count from 1')
    .optional()
    .meta({ description: 'The latest where it is left out.' }),
  after: position('after').meta({ description: 'Lines after this one; 0 where it is left out.' }),
  cursor: position('cursor').meta({ description: '`nextCursor` of the page before, in place of `after`.' }),
  limit: limit.optional(),
})

export const defaultLimit = DEFAULT_LIMIT

/** Of every command. */
export const actorHeaders = z.looseObject({
  'millrace-actor': z
    .string()
    .regex(
      /^[a-zA-Z0-9][a-zA-Z0-9._@-]{0,63}$/,
      'expected a name of at most 64 letters, digits, dots, hyphens, @ and _',
    )
    .optional()
    .meta({ description: 'Who asks, as events, approvals and the audit have it; `local` where it is left out.' }),
  'millrace-reason': z
    .string()
    .regex(/^[\x20-\x7e]{1,500}$/, 'expected at most 500 printable ASCII characters')
    .optional()
    .meta({ description: 'Why, for the audit.' }),
})

export const idempotencyHeaders = z.looseObject({
  'idempotency-key': z
    .string()
    .regex(/^[\x21-\x7e]{1,256}$/, 'expected 1 to 256 visible ASCII characters')
    .optional()
    .meta({ description: 'Sent again with the same body, it answers as the first time did.' }),
})

export const versionHeaders = z.looseObject({
  'if-match': z
    .string()
    .regex(/^"\d{1,9}"$/, 'expected a version in quotes, such as "3"')
    .transform((quoted) => Number(quoted.slice(1, -1)))
    .optional()
    .meta({ description: 'The newest version that the caller knows, in quotes; "0" where there must be none yet.' }),
})
