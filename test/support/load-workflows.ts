// Small workflows of every kind, for load. Each shell stage tells of itself in a file of its run before it does anything.
import type { Json } from '../../src/domain/message.ts'

const tell =
  'echo "$MILLRACE_EXECUTION $MILLRACE_STAGE $MILLRACE_ATTEMPT $EPOCHREALTIME" >> "$EFFECTS/$MILLRACE_EXECUTION"'

const shell = (run: string, more: { readonly [member: string]: Json } = {}): Json => ({
  uses: 'shell',
  with: { env: { EFFECTS: '${{ input.effects }}' }, run: `${tell}\n${run}` },
  ...more,
})
const wait = (duration: string, more: { readonly [member: string]: Json } = {}): Json => ({
  uses: 'wait',
  with: { duration },
  ...more,
})
const tries = (maxAttempts: number): Json => ({ maxAttempts, backoff: { type: 'fixed', initial: '100ms', jitter: 0 } })
const workflow = (name: string, stages: { readonly [id: string]: Json }): Json => ({
  name,
  input: { type: 'object', required: ['effects'], properties: { effects: { type: 'string' } } },
  stages,
})

/** How each ends when nobody cancels it. */
export const loadWorkflows: readonly { readonly document: Json; readonly name: string; readonly ends: string }[] = [
  {
    name: 'chain',
    ends: 'completed',
    document: workflow('chain', {
      build: shell('true'),
      flaky: shell('test "$MILLRACE_ATTEMPT" -gt 1', { needs: ['build'], retry: tries(3) }),
      publish: shell('true', { needs: ['flaky'] }),
    }),
  },
  {
    name: 'fan',
    ends: 'completed',
    document: workflow('fan', {
      left: shell('sleep 0.05'),
      right: shell('true'),
      pause: wait('200ms'),
      join: shell('true', { needs: ['left', 'right', 'pause'] }),
    }),
  },
  {
    name: 'slow',
    ends: 'completed',
    document: workflow('slow', {
      before: wait('300ms'),
      work: shell('sleep 0.3', { needs: ['before'] }),
      after: wait('200ms', { needs: ['work'] }),
    }),
  },
  {
    name: 'doomed',
    ends: 'failed',
    document: workflow('doomed', {
      broken: shell('exit 7', { retry: tries(2) }),
      never: shell('true', { needs: ['broken'] }),
      mend: shell('true', { needs: ['broken'], trigger: 'any-failure' }),
    }),
  },
]
