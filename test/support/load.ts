// Clients that start, cancel and read runs, and write down what they were answered. Whatever the server does, what it
// acknowledged has to be there in the end.
import { setTimeout as delay } from 'node:timers/promises'
import { executionIdFor } from '../../src/commands/fingerprint.ts'
import type { Chance } from './chance.ts'
import { loadWorkflows } from './load-workflows.ts'

/** `unknown`: no answer, or one that leaves open whether the request was carried out. */
export type Answer = 'ok' | 'failed' | 'unknown'

export type LoadRun = {
  readonly key: string
  readonly workflow: string
  readonly ends: string
  readonly id: string
  started: Answer
  cancelled: Answer | undefined
  /** Whether the client asks again with the same key when it does not know. */
  readonly persistent: boolean
}

const CLIENTS = 6
/** New runs a client starts between two faults; what is started in a round must be done in the next few. */
const RUNS_A_ROUND = 8
const MOST_THINKING_MS = 80
const ANSWER_WITHIN_MS = 10_000
const NAMESPACE = '/v1/default'

export class Load {
  readonly runs: LoadRun[] = []
  /** Answers that no fault excuses. */
  readonly faults: string[] = []
  readonly #chance: Chance
  readonly #effects: string

  constructor(chance: Chance, effects: string) {
    this.#chance = chance
    this.#effects = effects
  }

  async register(url: string): Promise<void> {
    for (const { name, document } of loadWorkflows) {
      const response = await send(`${url}${NAMESPACE}/workflows/${name}`, 'PUT', document)
      if (answerOf(response) !== 'ok') throw new Error(`${name} was not registered: ${response?.text}`)
    }
  }

  /** Works until every client has done its share, or the server is gone. */
  async round(url: string): Promise<void> {
    await Promise.all(Array.from({ length: CLIENTS }, () => this.#client(url)))
  }

  async #client(url: string): Promise<void> {
    for (let left = RUNS_A_ROUND; left > 0; ) {
      await delay(this.#chance.below(MOST_THINKING_MS))
      const unknown = this.runs.filter(({ started, persistent }) => started === 'unknown' && persistent)
      const going = this.runs.filter(({ started, cancelled }) => started === 'ok' && cancelled === undefined)
      const dice = this.#chance.next()
      let answer: Answer
      if (unknown.length > 0 && dice < 0.4) answer = await this.#start(url, this.#chance.pick(unknown))
      else if (going.length > 0 && dice > 0.93) answer = await this.#cancel(url, this.#chance.pick(going.slice(-4)))
      else if (going.length > 0 && dice > 0.85) answer = await this.#read(url, this.#chance.pick(going))
      else {
        left--
        answer = await this.#start(url, this.#newRun())
      }
      if (answer === 'unknown') return
    }
  }

  #newRun(): LoadRun {
    const { name, ends } = this.#chance.pick(loadWorkflows)
    const key = `key-${this.runs.length}`
    const run: LoadRun = {
      key,
      workflow: name,
      ends,
      id: executionIdFor('default', name, key),
      started: 'unknown',
      cancelled: undefined,
      persistent: this.#chance.next() < 0.6,
    }
    this.runs.push(run)
    return run
  }

  async #start(url: string, run: LoadRun): Promise<Answer> {
    const body = { workflow: run.workflow, input: { effects: this.#effects }, labels: { key: run.key } }
    const response = await send(`${url}${NAMESPACE}/executions`, 'POST', body, { 'idempotency-key': run.key })
    const answer = answerOf(response)
    // Two clients may ask for the same run; then the one that knows more is believed.
    if (run.started !== 'ok') run.started = answer
    if (answer === 'failed') this.faults.push(`starting ${run.key} answered ${response?.status} ${response?.text}`)
    if (answer === 'ok' && response?.text !== '' && !response?.text.includes(run.id))
      this.faults.push(`${run.key} is to be ${run.id}, but the answer is ${response?.text}`)
    return answer
  }

  async #cancel(url: string, run: LoadRun): Promise<Answer> {
    const response = await send(`${url}${NAMESPACE}/executions/${run.id}/cancel`, 'POST', { reason: 'load' })
    const answer = answerOf(response)
    if (run.cancelled !== 'ok') run.cancelled = answer
    if (answer === 'failed' && response?.status !== 409)
      this.faults.push(`cancelling ${run.key}, which is there, answered ${response?.status}`)
    return answer
  }

  async #read(url: string, run: LoadRun): Promise<Answer> {
    const response = await send(`${url}${NAMESPACE}/executions/${run.id}/state`, 'GET')
    const answer = answerOf(response)
    if (answer === 'failed') this.faults.push(`reading ${run.key}, which is there, answered ${response?.status}`)
    return answer
  }
}

type Response = { readonly status: number; readonly text: string }

const answerOf = (response: Response | undefined): Answer => {
  if (response === undefined || response.status >= 500) return 'unknown'
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
