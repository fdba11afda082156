// What the stages of a simulated world do: it follows from the seed, the run, the stage and the attempt, and what it does to
// the outside is written into a ledger.

import type { Json } from '../../src/domain/message.ts'
import { type Handler, type StageContext, StageFailure } from '../../src/ports/handler.ts'
import { type Chance, chanceOf } from '../support/chance.ts'
import { gate, type Network } from './gates.ts'
import type { Owner } from './scheduler.ts'

/** One effect outside: what an attempt did, by whom. */
export type Effect = {
  readonly execution: string
  readonly stage: string
  readonly attempt: number
  readonly worker: string
  /** Position of the log's head at that moment. */
  readonly head: number
}

export type Ledger = { readonly effects: Effect[]; act(effect: Omit<Effect, 'head'>): void }

/** A number that depends on the text alone, for a chance of its own. */
function seedOfText(text: string): number {
  let hash = 0x811c9dc5
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193)
  return hash >>> 0
}

/** The recovery that a failure is to have stands in its code; see the rules of the workflows. */
const codes = [
  'X',
  'X',
  'X',
  'EXIT_NONZERO',
  'PLAN_RETRY',
  'PLAN_SKIP',
  'PLAN_FALLBACK',
  'PLAN_CONTINUE',
  'PLAN_ASK',
] as const
const finals = ['PLAN_FAIL-FAST', 'PLAN_COMPENSATE'] as const

type Acting = {
  readonly network: Network
  readonly owner: Owner
  readonly worker: string
  readonly ledger: Ledger
  readonly seed: number
}
type Given = StageContext & { readonly chance: Chance; sleep(ms: number): Promise<void> }
type Script = (given: Given, acting: Acting) => Promise<Json | undefined>

export function handlersOf(acting: Acting): ReadonlyMap<string, Handler> {
  const shell: Handler = { name: 'shell', run: (context) => run(context, acting) }
  return new Map([[shell.name, shell]])
}

async function run(context: StageContext, acting: Acting): Promise<Json | undefined> {
  const { executionId, stage, attempt } = context
  const chance = chanceOf(seedOfText(`${acting.seed} ${executionId} ${stage} ${attempt}`))
  const sleep = (ms: number) => gate(acting.network, acting.owner, ms)
  const script = scriptOf(chance, stage)
  return script({ ...context, chance, sleep }, acting)
}

function scriptOf(chance: Chance, stage: string): Script {
  const roll = chance.next()
  if (roll < 0.35) return quick
  if (roll < 0.6) return careful
  if (roll < 0.72) return failing
  if (roll < 0.82) return saving
  if (roll < 0.87) return stubborn
  if (roll < 0.9) return hanging
  if (roll < 0.92) return broken
  return stage.includes('.') ? quick : generating
}

/** Does nothing outside, and is done at once. */
const quick: Script = async ({ chance }) => ({ n: chance.below(100) })

/** Acts as the documents say: once the log knows that it has begun. */
const careful: Script = async (given, acting) => {
  await given.begun()
  await given.sleep(given.chance.below(8_000))
  given.signal.throwIfAborted()
  act(given, acting)
  await given.sleep(given.chance.below(2_000))
  return { acted: true }
}

const failing: Script = async (given, acting) => {
  const { chance, sleep } = given
  if (chance.next() < 0.5) await careful(given, acting)
  else await sleep(chance.below(500))
  const code = chance.next() < 0.1 ? chance.pick(finals) : chance.pick(codes)
  throw new StageFailure({ code, message: 'as planned', retryable: chance.next() < 0.8 })
}

/** Saves how far it is, and goes on from there. */
const saving: Script = async (given) => {
  const { resume, checkpoint, sleep, chance, log } = given
  let done = Number((resume as { done?: number } | undefined)?.done ?? 0)
  while (done < 3) {
    await sleep(chance.below(3_000))
    await checkpoint({ done: ++done })
    log(`done ${done}`)
    if (chance.next() < 0.2) throw new StageFailure({ code: 'X', message: `broke off after ${done}` })
  }
  return { done }
}

/** Does not listen when it is asked to stop. */
const stubborn: Script = async (given, acting) => {
  await given.begun()
  act(given, acting)
  await given.sleep(5_000 + given.chance.below(60_000))
  return { stubborn: true }
}

const hanging: Script = ({ signal }) =>
  new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason)
    signal.addEventListener('abort', () => reject(signal.reason))
  })

const broken: Script = async ({ sleep }) => {
  await sleep(10)
  throw new TypeError('cannot read properties of undefined')
}

const generating: Script = async ({ chance, generate, sleep }) => {
  await sleep(chance.below(1_000))
  const count = 1 + chance.below(3)
  for (let at = 0; at < count; at++) {
    const needs = at > 0 && chance.next() < 0.5 ? { needs: [`g${at - 1}`] } : {}
    generate({
      [`g${at}`]: { uses: 'shell', with: { run: 'true' }, retry: { maxAttempts: 2 }, timeout: '1m', ...needs },
    })
  }
  return { generated: count }
}

function act({ executionId: execution, stage, attempt }: StageContext, { ledger, worker }: Acting): void {
  ledger.act({ execution, stage, attempt, worker })
}
