// Small workflows of every kind, for load. Each shell stage tells of itself in a file of its run before it does anything.
import type { Json } from '../../src/domain/message.ts'

type Members = { readonly [member: string]: Json }

export type LoadWorkflow = {
  readonly name: string
  readonly document: Json
  /** How it may end when nobody cancels it. */
  readonly ends: readonly string[]
  /** What clients have to send it, once or more often, so that it ends: a path below the run. */
  readonly wants?: string
}

const tell =
  'echo "$MILLRACE_EXECUTION $MILLRACE_STAGE $MILLRACE_ATTEMPT $EPOCHREALTIME" >> "$EFFECTS/$MILLRACE_EXECUTION"'

const shell = (run: string, more: Members = {}): { [member: string]: Json } => ({
  uses: 'shell',
  with: { env: { EFFECTS: '${{ input.effects }}' }, run: `${tell}\n${run}` },
  ...more,
})
const wait = (duration: string, more: Members = {}): Json => ({ uses: 'wait', with: { duration }, ...more })
/** Ends at once, in the worker itself; the programs of a load are started with its module. */
const noop = (...needs: string[]): Json => ({ uses: 'noop', needs })
const tries = (maxAttempts: number): Json => ({ maxAttempts, backoff: { type: 'fixed', initial: '100ms', jitter: 0 } })

function load(
  name: string,
  ends: string | readonly string[],
  stages: Members,
  more: Members & { readonly wants?: string } = {},
) {
  const { wants, ...members } = more
  const input = { type: 'object', required: ['effects'], properties: { effects: { type: 'string' } } }
  const document: Json = { name, input, ...members, stages }
  return { name, document, ends: [ends].flat(), ...(wants === undefined ? {} : { wants }) }
}

/** What some of the work holds while it runs: too little for all of it, so that it waits. */
export const loadPool = { name: 'load', capacity: { slots: 3 } } as const

/** A new kind of work is one more entry here; those that others call come first. */
export const loadWorkflows: readonly LoadWorkflow[] = [
  load('chain', 'completed', {
    build: shell('true'),
    flaky: shell('test "$MILLRACE_ATTEMPT" -gt 1', { needs: ['build'], retry: tries(3) }),
    publish: shell('true', { needs: ['flaky'] }),
  }),
  load('fan', 'completed', {
    left: shell('sleep 0.05'),
    right: shell('true'),
    pause: wait('200ms'),
    join: shell('true', { needs: ['left', 'right', 'pause'] }),
  }),
  load('slow', 'completed', {
    before: wait('300ms'),
    work: shell('sleep 0.3', { needs: ['before'] }),
    after: wait('200ms', { needs: ['work'] }),
  }),
  load('long', 'completed', { work: shell('sleep 1.5'), after: noop('work') }),
  load('doomed', 'failed', {
    broken: shell('exit 7', { retry: tries(2) }),
    never: shell('true', { needs: ['broken'] }),
    mend: shell('true', { needs: ['broken'], trigger: 'any-failure' }),
  }),
  load(
    'undone',
    'failed',
    {
      first: shell('true', { compensate: shell('true') }),
      second: shell('true', { needs: ['first'], compensate: shell('true') }),
      broken: shell('exit 7', { needs: ['second'] }),
    },
    { onFailure: 'compensate' },
  ),
  load('quick', 'completed', {
    one: noop(),
    two: noop('one'),
    left: noop('two'),
    right: noop('two'),
    last: noop('left', 'right'),
  }),
  load('matrix', 'completed', {
    find: shell('echo "[1, 2, 3]" > "$MILLRACE_OUTPUT"'),
    each: shell('true', {
      needs: ['find'],
      matrix: { part: '${{ stages.find.output }}', kind: ['a', 'b'], maxParallel: 3 },
    }),
    join: noop('each'),
  }),
  load('caller', 'completed', {
    call: { uses: 'workflow', with: { workflow: 'fan', input: { effects: '${{ input.effects }}' } } },
    after: shell('true', { needs: ['call'] }),
  }),
  load(
    'approved',
    'completed',
    { before: noop(), approve: { uses: 'approval', needs: ['before'] }, after: shell('true', { needs: ['approve'] }) },
    { wants: 'stages/approve/approve' },
  ),
  load(
    'signalled',
    'completed',
    { listen: { uses: 'signal', with: { name: 'go' } }, after: noop('listen') },
    { wants: 'signals/go' },
  ),
  load('pooled', 'completed', {
    left: shell('sleep 0.1', { resources: { pool: loadPool.name, slots: 1 } }),
    right: shell('sleep 0.1', { resources: { pool: loadPool.name, slots: 2 } }),
    join: noop('left', 'right'),
  }),
  load('queued', 'completed', { work: shell('sleep 0.1') }, { concurrency: { group: 'load', limit: 3 } }),
  load(
    'replaced',
    ['completed', 'cancelled'],
    { work: shell('sleep 0.2') },
    { concurrency: { group: 'newest', limit: 2, onConflict: 'cancel-running' } },
  ),
  load('nap', 'completed', { nap: wait('50ms') }),
]
