// The advice on a workflow as OpenAPI shows it.
import { z } from 'zod'
import type { Finding } from '../queries/advice/findings.ts'

const time = z.string().meta({ description: 'ISO 8601 in UTC.', examples: ['2030-01-31T18:00:00.000Z'] })
const ms = z.number().meta({ description: 'Milliseconds.' })
const count = z.int()
const rate = z.number().meta({ description: '0 to 1.' })
const rateAtLeast = rate.meta({ description: 'The lower end of the 95 % interval around the rate.' })

const finding = <const Kind extends Finding['kind'], Evidence extends z.ZodRawShape>(kind: Kind, evidence: Evidence) =>
  z.object({
    kind: z.literal(kind),
    stage: z.string(),
    severity: z.enum(['info', 'warning']).meta({ description: '`warning`: it cost time or runs already.' }),
    message: z.string(),
    evidence: z.object(evidence),
    suggestion: z.string(),
  })

const findings = z.discriminatedUnion('kind', [
  finding('parallelisable', {
    need: z.string().meta({ description: 'The stage that is waited for.' }),
    runs: count,
    pathMs: ms,
    sideBySideMs: ms,
    savedMs: ms,
    sameDirectory: z.boolean().meta({ description: 'Both are scripts, which share a working directory.' }),
  }),
  finding('timeout-too-long', {
    attempts: count,
    timedOut: count,
    p95Ms: ms,
    longestMs: ms,
    timeoutMs: ms,
    enoughMs: ms,
  }),
  finding('timeout-too-short', { attempts: count, timedOut: count, rate, rateAtLeast, p95Ms: ms, timeoutMs: ms }),
  finding('retry-never-helps', { class: z.string(), runs: count, retries: count, helped: count, spentMs: ms }),
  finding('flaky', { runs: count, flakyRuns: count, rate, rateAtLeast, classes: z.record(z.string(), count) }),
  finding('queue-wait', { queue: z.string(), attempts: count, waitP50Ms: ms, waitP95Ms: ms, workP50Ms: ms }),
])

const ofPath = z.object({
  stage: z.string(),
  p50Ms: ms,
  p95Ms: ms,
  shareOfRun: rate.meta({ description: 'Of all the time that these runs took, the part that went by in this stage.' }),
})

export const adviceSchema = z
  .object({
    workflow: z.string(),
    version: z.int(),
    runs: count.meta({ description: 'How many ended runs were looked at.' }),
    from: time.optional().meta({ description: 'Start of the oldest of them.' }),
    to: time.optional().meta({ description: 'Start of the newest of them.' }),
    criticalPath: z
      .object({
        path: z.array(z.string()).readonly(),
        runs: count.meta({ description: 'How many of the completed runs took this way; the times are of these.' }),
        completedRuns: count,
        p50Ms: ms,
        p95Ms: ms,
        stages: z.array(ofPath).readonly(),
      })
      .optional()
      .meta({ description: 'The chain of stages that decided how long most runs took; absent where none completed.' }),
    findings: z.array(findings).readonly(),
    note: z.string().optional().meta({ description: 'Why there could be more to say than is said.' }),
  })
  .meta({ id: 'Advice' })
