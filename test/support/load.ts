// Clients that start, answer, cancel and read runs, and write down what they were answered. Whatever the server does, what
// it acknowledged has to be there in the end.
import { setTimeout as delay } from 'node:timers/promises'
import { executionIdFor } from '../../src/commands/fingerprint.ts'
import type { Chance } from './chance.ts'
import { type LoadWorkflow, loadPool, loadWorkflows } from './load-workflows.ts'

/**
 * `refused`: the server says that nothing was written, and that it may be asked again. `unknown`: no answer, or one that
 * leaves open whether the request was carried out.
 */
export type Answer = 'ok' | 'failed' | 'refused' | 'unknown'

export type LoadRun = {
  readonly key: string
  readonly workflow: string
  readonly ends: readonly string[]
  readonly wants: string | undefined
  readonly id: string
  /** How much it carries that nothing reads, bytes. */
  readonly bulk: number
  /** Of several answers to the same request the one that says most; undefined before there was one. */
  started: Answer | undefined
  cancelled: Answer | undefined
  answered: Answer | undefined
  /** Where the log acknowledged its start. */
  position: string | undefined
  /** Whether the client asks again with the same key when it was not done, or it does not know. */
  readonly persistent: boolean
}

const CLIENTS = 6
/** New runs a client starts between two faults; what is started in a round must be done in the next few. */
const RUNS_A_ROUND = 8
const MOST_THINKING_MS = 80
const ANSWER_WITHIN_MS = 10_000
const NAMESPACE = '/v1/default'
/** What a run carries that is to fill a disk, bytes. */
const BULK = 150_000
/** More than any log here has room for. */
const MOST_BULKY_RUNS = 2_000
const MOST_UNSURE = 20

export class Load {
  readonly runs: LoadRun[] = []
  /** Answers that no fault excuses. */
  readonly faults: string[] = []
  /** How often a start was answered that nothing was written. */
  refusals = 0
  readonly #chance: Chance
  readonly #effects: string

  constructor(chance: Chance, effects: string) {
    this.#chance = chance
    this.#effects = effects
  }

  async register(url: string): Promise<void> {
    const pool = await send(`${url}${NAMESPACE}/pools/${loadPool.name}`, 'PUT', loadPool.capacity)
    if (answerOf(pool) !== 'ok') throw new Error(`the pool was not defined: ${pool?.text}`)
    for (const { name, document } of loadWorkflows) {
      const response = await send(`${url}${NAMESPACE}/workflows/${name}`, 'PUT', document)
      if (answerOf(response) !== 'ok') throw new Error(`${name} was not registered: ${response?.text}`)
    }
  }

  /** Works until every client has done its share, or the server is gone. */
  async round(url: string): Promise<void> {
    await Promise.all(Array.from({ length: CLIENTS }, () => this.#client(url)))
  }

  /** Starts large runs until the server refuses one; a busy machine may leave it open now and then whether one was started. */
  async fill(url: string): Promise<void> {
    const answers: Answer[] = []
    while (answers.at(-1) !== 'refused') {
      answers.push(await this.#start(url, this.#newRun(nap, BULK)))
      if (answers.length > MOST_BULKY_RUNS || answers.filter((answer) => answer !== 'ok').length > MOST_UNSURE)
        throw new Error(`a full disk refuses nothing: ${answers.slice(-MOST_UNSURE)}`)
    }
  }

  /** Starts one run; answers whether it was accepted. */
  async isTaken(url: string): Promise<boolean> {
    return (await this.#start(url, this.#newRun(nap))) === 'ok'
  }

  /** Gives every run that waits for a client what it waits for. */
  async answerAll(url: string): Promise<void> {
    for (const run of this.runs.filter(isWanting)) await this.#answer(url, run)
  }

  async #client(url: string): Promise<void> {
    for (let left = RUNS_A_ROUND; left > 0; ) {
      await delay(this.#chance.below(MOST_THINKING_MS))
      const before = this.runs.length
      if ((await this.#act(url)) === 'unknown') return
      if (this.runs.length > before) left--
    }
  }

  #act(url: string): Promise<Answer> {
    const unsure = this.runs.filter(
      ({ started, persistent }) => persistent && (started === 'unknown' || started === 'refused'),
    )
    const going = this.runs.filter(({ started, cancelled }) => started === 'ok' && cancelled === undefined)
    const wanting = this.runs.filter(isWanting)
    const dice = this.#chance.next()
    if (unsure.length > 0 && dice < 0.3) return this.#start(url, this.#chance.pick(unsure))
    if (wanting.length > 0 && dice < 0.45) return this.#answer(url, this.#chance.pick(wanting))
    if (going.length > 0 && dice > 0.95) return this.#cancel(url, this.#chance.pick(going.slice(-4)))
    if (going.length > 0 && dice > 0.9) return this.#read(url, this.#chance.pick(going))
    if (going.length > 0 && dice > 0.85) return this.#look(url, this.#chance.pick(going))
    return this.#start(url, this.#newRun(this.#chance.pick(loadWorkflows)))
  }

  #newRun({ name, ends, wants }: LoadWorkflow, bulk = 0): LoadRun {
    const key = `key-${this.runs.length}`
    const run: LoadRun = {
      ...{ key, workflow: name, ends, wants, id: executionIdFor('default', name, key), bulk },
      ...{ started: undefined, cancelled: undefined, answered: undefined, position: undefined },
      persistent: this.#chance.next() < 0.6,
    }
    this.runs.push(run)
    return run
  }

  async #start(url: string, run: LoadRun): Promise<Answer> {
    const { workflow, key, bulk } = run
    const input = { effects: this.#effects, ...(bulk > 0 ? { bulk: 'x'.repeat(bulk) } : {}) }
    const body = { workflow, input, labels: { key } }
    const response = await send(`${url}${NAMESPACE}/executions`, 'POST', body, { 'idempotency-key': key })
    const answer = answerOf(response)
    run.started = sayingMost(run.started, answer)
    if (answer === 'refused') this.refusals++
    if (answer === 'failed') this.faults.push(`starting ${key} answered ${response?.status} ${response?.text}`)
    if (answer !== 'ok' || response === undefined || response.text === '') return answer
    const { id, position } = JSON.parse(response.text) as { id: string; position: string }
    run.position = position
    if (id !== run.id) this.faults.push(`${key} is to be ${run.id}, but the answer is ${response.text}`)
    return answer
  }

  async #cancel(url: string, run: LoadRun): Promise<Answer> {
    const response = await send(`${url}${NAMESPACE}/executions/${run.id}/cancel`, 'POST', { reason: 'load' })
    const answer = answerOf(response)
    run.cancelled = sayingMost(run.cancelled, answer)
    if (answer === 'failed' && response?.status !== 409)
      this.faults.push(`cancelling ${run.key}, which is there, answered ${response?.status}`)
    return answer
  }

  async #answer(url: string, run: LoadRun): Promise<Answer> {
    const response = await send(`${url}${NAMESPACE}/executions/${run.id}/${run.wants}`, 'POST', {})
    const answer = answerOf(response)
    // It does not wait yet, or nothing can be said to it any more.
    const early = response?.status === 409 && response.text.includes('STAGE_NOT_WAITING')
    const absent = response?.status === 404 && run.started === 'unknown'
    if (!early && !absent) run.answered = answer
    if (answer === 'failed' && response?.status !== 409 && !absent)
      this.faults.push(`answering ${run.key}, which is there, answered ${response?.status} ${response?.text}`)
    return answer
  }

  async #read(url: string, run: LoadRun): Promise<Answer> {
    const response = await send(`${url}${NAMESPACE}/executions/${run.id}/state`, 'GET')
    const answer = answerOf(response)
    if (answer === 'failed') this.faults.push(`reading ${run.key}, which is there, answered ${response?.status}`)
    return answer
  }

  /** The read models may be late, or out of reach; what they answer has in it what the client knows of. */
  async #look(url: string, run: LoadRun): Promise<Answer> {
    if (run.position === undefined) return 'ok'
    const response = await send(`${url}${NAMESPACE}/executions/${run.id}?minPosition=${run.position}`, 'GET')
    if (answerOf(response) === 'failed')
      this.faults.push(`looking at ${run.key}, which is there, answered ${response?.status}`)
    return response === undefined ? 'unknown' : 'ok'
  }
}

const nap = loadWorkflows.find(({ name }) => name === 'nap')!

/** What is not known to have been said is said again, which changes nothing; also to a run that may be there. */
const isWanting = ({ started, cancelled, answered, wants }: LoadRun): boolean =>
  wants !== undefined &&
  (started === 'ok' || started === 'unknown') &&
  cancelled !== 'ok' &&
  (answered === undefined || answered === 'unknown' || answered === 'refused')

type Response = { readonly status: number; readonly text: string }

/** Two clients may ask for the same; then the one that knows more is believed. */
const ANSWERS: readonly (Answer | undefined)[] = [undefined, 'failed', 'refused', 'unknown', 'ok']
const sayingMost = (one: Answer | undefined, other: Answer): Answer =>
  ANSWERS[Math.max(ANSWERS.indexOf(one), ANSWERS.indexOf(other))]!

const answerOf = (response: Response | undefined): Answer => {
  if (response === undefined) return 'unknown'
  if (response.status === 503 && response.text.includes('nothing was written')) return 'refused'
  if (response.status >= 500) return 'unknown'
  return response.status < 300 ? 'ok' : 'failed'
}

/** Undefined where there was no answer; a status is one, whether or not its body arrives. */
async function send(
  url: string,
  method: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Response | undefined> {
  const content = body === undefined ? {} : { body: JSON.stringify(body) }
  const type = body === undefined ? {} : { 'content-type': 'application/json' }
  try {
    const signal = AbortSignal.timeout(ANSWER_WITHIN_MS)
    const response = await fetch(url, { method, headers: { ...headers, ...type }, ...content, signal })
    return { status: response.status, text: await response.text().catch(() => '') }
  } catch {
    return undefined
  }
}
