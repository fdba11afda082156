type Spanned = {
  readonly name: string
  readonly kind: 'server' | 'client' | 'producer' | 'consumer'
  /** W3C `traceparent` of what led here. */
  readonly parent: string | undefined
  readonly attributes?: Readonly<Record<string, string | number>>
}

/** Spans of traces, for whoever collects them. */
export interface Tracing {
  /** Does the work within a span, which ends with it and says whether it failed. `traceparent` is the span's own. */
  span<T>(spanned: Spanned, work: (traceparent: string) => Promise<T>): Promise<T>
  /** Hands over what was not handed over yet, as far as somebody takes it. Never rejects. */
  close(): Promise<void>
}
