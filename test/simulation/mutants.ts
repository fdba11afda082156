// Mistakes that somebody could make, each as a change to the text of the program, and what the simulation says of it.

export type Edit = { readonly file: string; readonly find: string; readonly replace: string }
export type Mutant = {
  readonly name: string
  readonly edits: readonly Edit[]
  /** The invariants by which it may be seen; one of them has to be named. */
  readonly breaks: readonly number[]
}

const one = (name: string, breaks: readonly number[], file: string, find: string, replace: string): Mutant => ({
  name,
  breaks,
  edits: [{ file, find, replace }],
})

export const mutants: readonly Mutant[] = [
  one(
    'skip-a-release',
    [8, 18],
    'src/reactors/allocations.ts',
    '    this.#giveBack(pool, asking.key, causationId)\n',
    '    void causationId\n',
  ),
  {
    name: 'grant-beyond-capacity',
    breaks: [17],
    edits: [
      {
        file: 'src/domain/pool/decide.ts',
        find: "  if (!fits(amounts, freeIn(pool))) throw new Rejected('POOL_FULL', `too little of ${pool.name} is free`)\n",
        replace: '  void [fits, freeIn]\n',
      },
      { file: 'src/reactors/allocator.ts', find: 'line.next(free)', replace: 'line.next(capacity)' },
    ],
  },
  one(
    'forget-the-fencing-check',
    [13, 14],
    'src/domain/execution/report.ts',
    "(stage.status !== 'scheduled' && stage.status !== 'running') || stage.attempt !== attempt",
    "stage.status !== 'scheduled' && stage.status !== 'running'",
  ),
  {
    name: 'publish-before-append',
    breaks: [14, 26],
    edits: [
      {
        file: 'src/app.ts',
        find: 'const handle = createHandle(store)',
        replace: `const handle = createHandle({
          ...store,
          append: async (stream, expected, events) => {
            const next = typeof expected === 'number' ? expected + 1 : 0
            const recorded = events.map((event, index) => ({ ...event, stream, revision: next + index, position: -1 }))
            await queue.publish(recorded.flatMap((event) => workFor(event as never)))
            return store.append(stream, expected, events)
          },
        })`,
      },
      {
        file: 'src/app.ts',
        find: "import type { Clock } from './ports/clock.ts'",
        replace: "import type { Clock } from './ports/clock.ts'\nimport { workFor } from './domain/execution/work.ts'",
      },
    ],
  },
  one(
    'retry-without-limit',
    [12],
    'src/domain/execution/recover.ts',
    'error.retryable === false || usedBy(draft, index, attempt) >= maxAttempts',
    'error.retryable === false',
  ),
  one('fire-a-timer-twice', [19], 'src/reactors/due-timers.ts', 'due.push(next)', 'due.push(next, { ...next })'),
  one(
    'lose-the-tail-of-a-snapshot',
    [8, 26, 31],
    'src/reactors/reactor.ts',
    'progress.position = progress.snapshotAt = snapshot?.position ?? START',
    'progress.position = progress.snapshotAt = snapshot ? await store.head() : START',
  ),
  {
    name: 'start-after-cancel',
    breaks: [2, 10],
    edits: [
      {
        file: 'src/domain/execution/advance.ts',
        find: "if (hasEnded(state) || state.status === 'running' || state.status === 'expanded') return",
        replace: `const goes = draft.state.stages.some((one) => one.status === 'running')
          if (hasEnded(state) || ['running', 'expanded', ...(goes ? ['blocked'] : [])].includes(state.status)) return`,
      },
      {
        file: 'src/domain/execution/advance.ts',
        find: "  if (draft.state.status === 'cancelling' && compensates === undefined) return\n",
        replace: '  void compensates\n',
      },
      {
        file: 'src/domain/execution/draft.ts',
        find: "return status === 'running' || (status === 'cancelling' &&",
        replace: "return status !== 'paused' || (status === 'cancelling' &&",
      },
    ],
  },
  one(
    'never-release-a-lease',
    [18],
    'src/workers/worker.ts',
    `await leases
          .release(key, id)
          .catch((err) => logger.warn({ worker: id, ...loggedOf(work), err }, 'a lease cannot be released now'))`,
    'void 0',
  ),
  one(
    'begin-before-the-start-is-confirmed',
    [13, 14],
    'src/workers/attempt.ts',
    "if (answer !== 'sent' || said.type !== 'StartStage') return answer",
    'if (said.worker) return answer',
  ),
  one('forget-to-fill-the-queue', [8], 'src/reactors/dispatcher.ts', '      await publish(await openWork())\n', ''),
  one(
    'take-a-conflict-for-success',
    [4, 8, 32],
    'src/commands/handle.ts',
    'if (error instanceof WrongExpectedRevision) return false',
    'if (error instanceof WrongExpectedRevision) return true',
  ),
  one(
    'take-another-event-id-after-an-unknown-outcome',
    [3, 4, 6, 32],
    'src/commands/handle.ts',
    'await store.append(mailbox.stream, expected, events)',
    "await store.append(mailbox.stream, tries > 1 ? 'any' : expected, tries > 1 ? decisions.flatMap(stamp) : events)",
  ),
  one(
    'answer-before-it-is-durable',
    [4],
    'src/commands/handle.ts',
    '    if (await append(store, mailbox, decisions)) {',
    '    answer(mailbox, decisions)\n    if (await append(store, mailbox, decisions)) {',
  ),
  one(
    'decide-on-an-old-state',
    [32],
    'src/commands/handle.ts',
    '    forget(mailbox)\n    fresh = await refresh(store, mailbox)',
    '    fresh = await refresh(store, { ...mailbox })\n    mailbox.revision++',
  ),
  one(
    'forget-pending-timers-after-a-restart',
    [8, 31],
    'src/reactors/timekeeper.ts',
    '      for (const timer of state as unknown as Timer[]) set(timer)',
    '      void state',
  ),
  one(
    'drop-the-timer-that-took-its-place',
    [8, 31],
    'src/reactors/timekeeper.ts',
    '    if (timers.get(timer.key)?.causationId !== timer.causationId) return\n',
    '',
  ),
  one(
    'believe-that-a-timer-has-done-its-work',
    [8, 31],
    'src/reactors/timekeeper.ts',
    'held = events.length === 0',
    'void events',
  ),
  one(
    'take-a-held-lease-for-done',
    [8],
    'src/workers/taking.ts',
    '        if (isLate) return false\n',
    '        return false\n',
  ),
  one(
    'run-a-message-twice',
    [13],
    'src/workers/taking.ts',
    'if (known !== undefined) {',
    'if (known !== undefined && nowMs < 0) {',
  ),
]
