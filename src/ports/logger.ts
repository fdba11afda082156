import type { Work } from '../domain/execution/work.ts'

/** What the parts of Millrace say to whoever runs it; pino fits as it is. */
export interface Logger {
  info(details: object, message: string): void
  warn(details: object, message: string): void
  error(details: object, message: string): void
}

/** What a line says that is about an attempt. A run is its own correlation id; the trace is that of whoever asked for it. */
export const loggedOf = ({
  executionId,
  stage,
  attempt,
  traceparent,
}: Pick<Work, 'executionId' | 'stage' | 'attempt' | 'traceparent'>) => ({
  ...{ execution: executionId, stage, attempt },
  ...(traceparent === undefined ? {} : { trace: traceparent.split('-')[1] }),
})
