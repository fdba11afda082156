import type { Json } from '../../src/domain/message.ts'
import type { StageContext, StopReason } from '../../src/ports/handler.ts'

type Logged = { readonly stream: string; readonly text: string }

/** What a worker hands to a handler, with the log kept in memory and a way to stop the attempt. */
export function stageContext(input: { [key: string]: Json }, given: Partial<StageContext> = {}) {
  const controller = new AbortController()
  const lines: Logged[] = []
  const context: StageContext = {
    input,
    namespace: 'default',
    executionId: '0198c0de-0000-7000-8000-000000000001',
    stage: 'build',
    attempt: 1,
    signal: controller.signal,
    resume: undefined,
    begun: async () => {},
    checkpoint: async () => {},
    generate: () => {},
    log: (text, stream = 'log') => lines.push({ stream, text }),
    ...given,
  }
  return { context, lines, stop: (reason: StopReason) => controller.abort(reason) }
}
