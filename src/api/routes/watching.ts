// What every process answers, whatever its roles are: how it is, for whoever watches it.
import type { Registry } from 'prom-client'
import { z } from 'zod'
import { RequestProblem } from '../problems.ts'
import { route } from '../route.ts'

const tag = 'Operations'

/** What the process needs, by name, and whether it is there. */
export type Readiness = {
  readonly ok: boolean
  readonly checks: Readonly<Record<string, boolean>>
  /** What is known of why something is not there. */
  readonly reasons?: Readonly<Record<string, string>>
}

export type Watched = { readonly ready: () => Promise<Readiness>; readonly registry: Registry }

export function watchingRoutes({ ready, registry }: Watched) {
  return {
    live: route(
      { tag, summary: 'The process answers', answers: { 200: z.object({ status: z.literal('ok') }) }, unlimited: true },
      () => ({ status: 'ok' }) as const,
    ),

    ready: route(
      {
        tag,
        summary: 'Everything that a request needs is there',
        answers: { 200: z.object({ status: z.literal('ok'), checks: z.record(z.string(), z.boolean()) }) },
        unlimited: true,
      },
      async () => {
        const { ok, checks, reasons = {} } = await ready()
        if (ok) return { status: 'ok', checks } as const
        const missing = Object.keys(checks)
          .filter((name) => !checks[name])
          .map((name) => (name in reasons ? `${name} (${reasons[name]})` : name))
        throw new RequestProblem('NOT_READY', `not ready yet: ${missing.join(', ')}`, {
          headers: { 'retry-after': '1' },
          members: { checks },
        })
      },
    ),

    metrics: route(
      { tag, summary: 'Prometheus', answers: { 200: z.string() }, produces: 'text/plain', unlimited: true },
      async ({ reply }) => {
        reply.type(registry.contentType)
        return registry.metrics()
      },
    ),
  }
}
