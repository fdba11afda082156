import { type Context, ROOT_CONTEXT, type Span, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { BatchSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace'
import type { Tracing } from '../../ports/tracing.ts'

const kinds = {
  server: SpanKind.SERVER,
  client: SpanKind.CLIENT,
  producer: SpanKind.PRODUCER,
  consumer: SpanKind.CONSUMER,
} as const

/** A collector that does not answer holds up the end of the process for so long at most. */
const EXPORT_WITHIN_MS = 2_000

/** Sends spans to a collector that takes OTLP over HTTP, such as `http://127.0.0.1:4318/v1/traces`, in batches. */
export function createOpenTelemetry(url: string, about: Readonly<Record<string, string>>): Tracing {
  const provider = new TracerProvider({
    resource: resourceFromAttributes({ 'service.name': 'millrace', ...about }),
    // What nobody takes is dropped beyond the processor's own bound.
    spanProcessors: [
      new BatchSpanProcessor({ exporter: new OTLPTraceExporter({ url, timeoutMillis: EXPORT_WITHIN_MS }) }),
    ],
  })
  const tracer = provider.getTracer('millrace')
  return {
    async span({ name, kind, parent, attributes = {} }, work) {
      const span = tracer.startSpan(name, { kind: kinds[kind], attributes }, contextOf(parent))
      try {
        return await work(traceparentOf(span))
      } catch (error) {
        // The name alone: a message may hold what is not for collectors.
        span.setStatus({ code: SpanStatusCode.ERROR, message: (error as Error)?.name ?? 'Error' })
        throw error
      } finally {
        span.end()
      }
    },
    close: () => provider.shutdown().catch(() => {}),
  }
}

/** `version-trace-parent-flags`, as W3C has it. */
function contextOf(traceparent: string | undefined): Context {
  const [, traceId, spanId, flags] = traceparent?.split('-') ?? []
  if (traceId === undefined || spanId === undefined || flags === undefined) return ROOT_CONTEXT
  return trace.setSpanContext(ROOT_CONTEXT, {
    ...{ traceId, spanId, traceFlags: Number.parseInt(flags, 16), isRemote: true },
  })
}

function traceparentOf(span: Span): string {
  const { traceId, spanId, traceFlags } = span.spanContext()
  return `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`
}
