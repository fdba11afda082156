import type { Json } from '../message.ts'
import { durationText } from '../workflow/units.ts'
import type { RetentionPolicy, RowRule, RunRule } from './policy.ts'

type Written = { readonly [member: string]: Json }

const runRule = ({ olderThan, atMost, statuses }: RunRule): Written => ({
  ...(olderThan === undefined ? {} : { olderThan: durationText(olderThan) }),
  ...(atMost === undefined ? {} : { atMost }),
  ...(statuses === undefined ? {} : { statuses: [...statuses] }),
})
const rowRule = ({ olderThan }: RowRule): Written => ({ olderThan: durationText(olderThan) })

/** The policy as it could be written. */
export function writtenPolicy({ hold, streams, executions, ...rows }: RetentionPolicy): Written {
  return {
    ...(hold === undefined ? {} : { hold: [...hold] }),
    ...(streams === undefined ? {} : { streams: streams.map(runRule) as Json[] }),
    ...(executions === undefined ? {} : { executions: executions.map(runRule) as Json[] }),
    ...Object.fromEntries(
      Object.entries(rows).flatMap(([table, rule]) => (rule === undefined ? [] : [[table, rowRule(rule)]])),
    ),
  } as Written
}

/** A rule in words, for whoever asks why something is gone. */
export function ruleInWords({ olderThan, atMost, statuses }: RunRule): string {
  const which = statuses === undefined ? 'runs' : `${statuses.join(' or ')} runs`
  const why = [
    ...(olderThan === undefined ? [] : [`ended more than ${durationText(olderThan)} ago`]),
    ...(atMost === undefined ? [] : [`are not among the last ${atMost} of their workflow`]),
  ]
  return `${which} that ${why.join(' or ')}`
}
