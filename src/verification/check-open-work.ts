import { setTimeout as delay } from 'node:timers/promises'
import type { ExecutionEvent } from '../domain/execution/events.ts'
import type { RecordedEvent } from '../domain/message.ts'
import { upcast } from '../domain/upcast.ts'
import { type Live, openChecks, type Suspect } from './open-checks.ts'
import { OpenWork, type OpenWorkState } from './open-work.ts'

/** How often what is suspicious is looked at before it is drift, and the time between two looks. */
const LOOKS = 4
const PAUSE_MS = 300
/** How long the reactors may take to come to where the log is. */
const PATIENCE_MS = 10_000

/** The reactors have not come to where the log is: what is under way cannot be judged. */
class EngineBehind extends Error {
  constructor(acted: number, head: number) {
    super(`the reactors are at position ${acted} of ${head} and do not move on`)
    this.name = 'EngineBehind'
  }
}

/**
 * What is not as the log says, while work goes on. `open` is what the log said a while ago. A look asks the log first, then the
 * others, and the next look asks the log again: what is under way before and after has been all the time, so that nobody
 * is accused of what was merely on its way.
 * @throws EngineBehind
 */
export async function checkOpenWork(open: OpenWorkState, live: Live, signal: AbortSignal): Promise<readonly Suspect[]> {
  let suspects = await lookAt(open, live)
  for (let looks = 1; looks < LOOKS && suspects.length > 0; looks++) {
    await delay(PAUSE_MS, undefined, { signal })
    const now = await readAgain(new Set(suspects.map(({ stream }) => stream)), live)
    await awaitEngine(live, signal)
    const before = new Set(suspects.map(nameOf))
    suspects = (await lookAt(now, live)).filter((suspect) => before.has(nameOf(suspect)))
  }
  return suspects
}

const nameOf = ({ drift }: Suspect): string => `${drift.where} ${drift.key}`

async function lookAt(open: OpenWorkState, live: Live): Promise<readonly Suspect[]> {
  const suspects: Suspect[] = []
  for (const check of openChecks) suspects.push(...(await check(open, live)))
  return suspects
}

async function readAgain(streams: ReadonlySet<string>, { store }: Live): Promise<OpenWorkState> {
  const open = new OpenWork()
  for (const stream of streams)
    for await (const events of store.readStream(stream))
      for (const event of events as readonly RecordedEvent<ExecutionEvent>[]) open.apply(upcast(event))
  return open.state()
}

async function awaitEngine({ engine, store }: Live, signal: AbortSignal): Promise<void> {
  const head = await store.head()
  let acted = engine.acted()
  for (let until = performance.now() + PATIENCE_MS; acted < head; ) {
    if (performance.now() > until) throw new EngineBehind(acted, head)
    await delay(10, undefined, { signal })
    if (engine.acted() > acted) until = performance.now() + PATIENCE_MS
    acted = engine.acted()
  }
}
