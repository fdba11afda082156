// Queries of what was: the audit, replays and analytics.
import { z } from 'zod'
import { defaultLimit, freshness, freshQuery, instant, limit, name, pageQuery, whole } from './parameters.ts'

const analysed = {
  ...freshness,
  from: instant.optional().meta({ description: 'What ended at this time or later.' }),
  to: instant.optional().meta({ description: 'Before this time; now where it is left out.' }),
}
export const analyticsQuery = z.strictObject({
  ...analysed,
  by: z.enum(['namespace', 'workflow', 'label', 'stage']).default('workflow'),
  workflow: name.optional().meta({ description: 'With `by=stage`: stages of this workflow.' }),
  limit: limit.default(defaultLimit).meta({ description: 'How many keys, those with most runs first; 1 to 200.' }),
})
export const seriesQuery = z.strictObject({
  ...analysed,
  of: z.enum(['namespace', 'workflow', 'label', 'stage']).default('namespace'),
  key: z
    .string()
    .max(400)
    .default('')
    .meta({ description: 'Of a workflow its name, of a label `name=value`, of a stage `workflow/stage`.' }),
  step: z.enum(['hour', 'day', 'week']).optional().meta({ description: 'Hours up to four days, else days.' }),
})

export const replayQuery = z.strictObject({
  cursor: whole('cursor').optional().meta({ description: '`nextCursor` of the page before.' }),
  limit: limit.default(defaultLimit),
})

export const auditQuery = pageQuery.extend({
  actor: z
    .string()
    .min(1)
    .max(200)
    .optional()
    .meta({ description: 'As answers have it.', examples: ['user:ada'] }),
  command: z
    .string()
    .regex(/^[A-Z][A-Za-z]{0,63}$/, 'command is a name such as CancelExecution')
    .optional()
    .meta({ description: 'Commands of this name that somebody sent.' }),
  outcome: z.enum(['accepted', 'refused']).optional(),
  from: instant.optional().meta({ description: 'At this time or later.' }),
  to: instant.optional().meta({ description: 'Before this time.' }),
})

export const auditExportQuery = freshQuery.extend({
  from: whole('from')
    .refine((sequence) => sequence >= 1, 'sequences count from 1')
    .optional()
    .meta({
      description:
        'First sequence; without it, the first that retention has not removed, which is 1 where it removed none.',
    }),
})
