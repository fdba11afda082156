import { Readable } from 'node:stream'
import type { FastifyReply } from 'fastify'
import type { App } from '../../app.ts'
import { analyticsColumns, analyticsSchema, seriesColumns, seriesSchema } from '../analytics-answers.ts'
import { CSV, toCsv } from '../csv.ts'
import { analyticsQuery, seriesQuery } from '../history-parameters.ts'
import { createKept, KEPT_FOR_A_MOMENT } from '../kept.ts'
import { namespaceParams } from '../parameters.ts'
import { RequestProblem } from '../problems.ts'
import { route } from '../route.ts'

const tag = 'Analytics'
const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const WEEK_MS = 7 * DAY_MS
/** 1970 began on a Thursday. */
const FIRST_MONDAY_MS = 4 * DAY_MS
/** Up to here hours are added up, and beyond it days. */
const MOST_IN_HOURS_MS = 4 * DAY_MS
const MOST_POINTS = 1_000
const MOST_MS = 3_660 * DAY_MS
const SPAN = { hour: HOUR_MS, day: DAY_MS, week: WEEK_MS } as const

type Asked = { readonly from?: string | undefined; readonly to?: string | undefined }

export function analyticsRoutes({ queries, clock, cache }: App) {
  const kept = createKept({ cache, queries })
  return {
    by: route(
      {
        tag,
        summary: 'How runs and stages went, by workflow, label or stage',
        description:
          'Counts, rates, durations and waits of what ended from `from` on and before `to`, which are moved to whole hours, or days where more than four are asked for. Looks back 30 days where `from` is left out.' +
          KEPT_FOR_A_MOMENT,
        params: namespaceParams,
        query: analyticsQuery,
        answers: { 200: analyticsSchema },
        alternative: CSV,
      },
      async ({ params: { namespace }, query, alternative, reply }) => {
        const { minPosition, wait, ...asked } = query
        const answer = await kept(['analytics', namespace, asked], { minPosition, wait }, ['executions'], async () => {
          const { step: _, ...stretch } = stretchOf(asked, clock.now(), 30 * DAY_MS)
          const { by, workflow, limit } = asked
          const question = { by, limit, ...stretch, ...(workflow === undefined ? {} : { workflow }) }
          return { items: await queries.analytics.by(namespace, question), ...stretch }
        })
        return alternative ? asCsv(reply, analyticsColumns, answer.items) : answer
      },
    ),

    series: route(
      {
        tag,
        summary: 'How runs or stages went over time',
        description:
          'For charts: a point for each hour, day or week in which something ended. Looks back 7 days where `from` is left out.' +
          KEPT_FOR_A_MOMENT,
        params: namespaceParams,
        query: seriesQuery,
        answers: { 200: seriesSchema },
        alternative: CSV,
      },
      async ({ params: { namespace }, query, alternative, reply }) => {
        const { minPosition, wait, ...asked } = query
        const answer = await kept(['series', namespace, asked], { minPosition, wait }, ['executions'], async () => {
          const { of, key, step } = asked
          const stretch = stretchOf(asked, clock.now(), 7 * DAY_MS, step)
          return { items: await queries.analytics.series(namespace, { of, key, ...stretch }), ...stretch }
        })
        return alternative ? asCsv(reply, seriesColumns, answer.items) : answer
      },
    ),
  }
}

function asCsv(reply: FastifyReply, columns: readonly string[], rows: readonly object[]): Readable {
  reply.type(`${CSV}; charset=utf-8`)
  return Readable.from([toCsv(columns, rows)], { objectMode: false })
}

/** What was asked for, in whole hours, days or weeks. */
function stretchOf({ from, to }: Asked, nowMs: number, backMs: number, asked?: keyof typeof SPAN) {
  const toMs = to === undefined ? nowMs + 1 : Date.parse(to)
  const fromMs = from === undefined ? toMs - backMs : Date.parse(from)
  if (fromMs >= toMs) throw invalid('/query/from', 'from is not before to')
  if (toMs - fromMs > MOST_MS) throw invalid('/query/from', 'there are more than ten years between from and to')
  const step = asked ?? (toMs - fromMs > MOST_IN_HOURS_MS ? 'day' : 'hour')
  if ((toMs - fromMs) / SPAN[step] > MOST_POINTS)
    throw invalid('/query/step', `there are more than ${MOST_POINTS} steps between from and to`)
  return {
    from: new Date(floor(fromMs, step)).toISOString(),
    to: new Date(floor(toMs - 1, step) + SPAN[step]).toISOString(),
    grain: step === 'hour' ? ('hour' as const) : ('day' as const),
    step,
  }
}

function floor(ms: number, step: keyof typeof SPAN): number {
  const first = step === 'week' ? FIRST_MONDAY_MS : 0
  return Math.floor((ms - first) / SPAN[step]) * SPAN[step] + first
}

function invalid(pointer: string, message: string): RequestProblem {
  return new RequestProblem('REQUEST_INVALID', `the query is not valid: ${message}`, { faults: [{ pointer, message }] })
}
