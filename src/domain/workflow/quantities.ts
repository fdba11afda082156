import * as z from 'zod'
import { parseDurationMs, parseInstantMs, parseMemoryBytes } from './units.ts'

/** Amounts as people write them; the output has milliseconds and bytes. */

export const duration = z
  .string()
  .refine((text) => parseDurationMs(text) !== undefined, 'expected a duration such as 500ms, 10s, 5m, 2h or 1d')
  .transform((text) => parseDurationMs(text)!)
  .meta({ description: 'A duration: a number and ms, s, m, h or d.', examples: ['500ms', '10s', '5m', '2h', '1d'] })

export const instantExample = 'a time with its zone, such as 2030-01-31T18:00:00Z'
export const instant = z
  .string()
  .refine((text) => parseInstantMs(text) !== undefined, `expected ${instantExample}`)
  .transform((text) => parseInstantMs(text)!)
  .meta({ description: 'A time with its offset, as in ISO 8601.', examples: ['2030-01-31T18:00:00Z'] })

export const memory = z
  .union([z.number().int().positive().transform(String), z.string()])
  .refine((text) => parseMemoryBytes(text) !== undefined, 'expected an amount of memory such as 512Mi or 2Gi')
  .transform((text) => parseMemoryBytes(text)!)
  .meta({ description: 'Bytes, or a number and Ki, Mi, Gi or Ti.', examples: ['512Mi', '2Gi'] })

export const cpu = z
  .number()
  .positive()
  .max(1_024)
  .meta({ description: 'Cores; parts are allowed.', examples: [0.5, 2] })
