// Runs driven over HTTP as a client does, with handlers whose ends the test decides. What a run did is read from the log.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { LightMyRequestResponse } from 'fastify'
import { afterAll, expect } from 'vitest'
import type { z } from 'zod'
import { executionSchema } from '../../src/api/answers.ts'
import { executionStream } from '../../src/domain/execution/events.ts'
import type { Json, RecordedEvent } from '../../src/domain/message.ts'
import { START } from '../../src/ports/event-store.ts'
import { type Handler, StageFailure } from '../../src/ports/handler.ts'
import { reapLeftovers } from '../../src/workers/handlers/processes.ts'
import { createShellHandler } from '../../src/workers/handlers/shell.ts'
import { type Built, build, type Scope } from './build.ts'
import { told } from './engine.ts'
import { LeapingClock } from './leaping-clock.ts'
import { startTestPostgres, type TestPostgres } from './postgres.ts'
import { eventsOf } from './stores.ts'

const RUNS = '/v1/default/executions'
const WITHIN_MS = 10_000

type Headers = Readonly<Record<string, string>>
type Document = string | { readonly name: string; readonly [member: string]: unknown }

export type Scenario = Built & {
  readonly clock: LeapingClock
  /** Marks the processes of scripts, and the folder that they work in. */
  readonly instance: string
  readonly workDir: string
  /** Ends the newest attempt of a stage that uses `held`, which has begun: with an output, or with an error of that code. */
  release(run: Run, stage: string, how?: { output?: Json; error?: string; retryable?: boolean }): void
  register(document: Document): Promise<string>
  /** Registers and starts; without a document what is registered already. */
  run(document: Document, start?: { [member: string]: unknown }, headers?: Headers): Promise<Run>
  /** What stands behind an id that a command answered. */
  runOf(response: LightMyRequestResponse): Run
}

export type Run = {
  readonly id: string
  readonly url: string
  post(path: string, payload?: Json, headers?: Headers): Promise<LightMyRequestResponse>
  get(path: string, headers?: Headers): Promise<LightMyRequestResponse>
  state(): Promise<z.output<typeof executionSchema>>
  /** Status of every stage. */
  statuses(): Promise<{ readonly [stage: string]: string }>
  events(): Promise<RecordedEvent[]>
  /** The data of the events of one type. */
  data(type: string): Promise<readonly Record<string, Json>[]>
  /** What happened, as `build 1 StageStarted`. */
  told(): Promise<readonly string[]>
  /** Resolves once `line` has been told of the run; rejects when it is not told in time. */
  until(line: string): Promise<void>
  /** Resolves with how the run ended. */
  end(): Promise<string>
}

/** One program for all the tests of a file, which ends after the last of them. */
export async function scenarioOfFile(more: readonly Handler[] = []): Promise<Scenario> {
  const postgres = await startTestPostgres()
  const close: (() => Promise<void>)[] = [() => postgres.stop()]
  afterAll(async () => {
    for (const stop of close) await stop()
  })
  return openScenario({ onTestFinished: (stop) => void close.unshift(stop) }, postgres, more)
}

async function openScenario(t: Scope, postgres: TestPostgres, more: readonly Handler[]): Promise<Scenario> {
  const clock = new LeapingClock()
  const held = heldStages()
  const workDir = await mkdtemp(join(tmpdir(), 'millrace-scenario-'))
  const instance = `scenario-${crypto.randomUUID()}`
  const shell = createShellHandler({ workDir, instance, environment: process.env, graceMs: 2_000 })
  t.onTestFinished(async () => {
    await reapLeftovers(instance)
    await rm(workDir, { recursive: true, force: true })
  })
  const built = await build(t, postgres, { clock, projecting: false, handlers: [held.handler, fails, shell, ...more] })
  const { server } = built

  const register = async (document: Document): Promise<string> => {
    const name = typeof document === 'string' ? /^name: *(\S+)/m.exec(document)![1]! : document.name
    const headers = { 'content-type': typeof document === 'string' ? 'application/yaml' : 'application/json' }
    const payload = typeof document === 'string' ? document : JSON.stringify(document)
    const answer = await server.inject({ method: 'PUT', url: `/v1/default/workflows/${name}`, payload, headers })
    expect([200, 201], answer.body).toContain(answer.statusCode)
    return name
  }
  const runOf = (answer: LightMyRequestResponse): Run => {
    expect(answer.statusCode, answer.body).toBe(202)
    return runOver(built, answer.json<{ id: string }>().id)
  }
  return {
    ...built,
    clock,
    instance,
    workDir,
    register,
    runOf,
    release: (run, stage, how = {}) => held.release(`${run.id} ${stage}`, how),
    async run(document, start = {}, headers = {}) {
      const workflow = await register(document)
      return runOf(await server.inject({ method: 'POST', url: RUNS, payload: { workflow, ...start }, headers }))
    },
  }
}

function runOver({ server, store }: Built, id: string): Run {
  const url = `${RUNS}/${id}`
  const stream = executionStream(id)
  const events = () => eventsOf(store, stream)
  const state = async () => executionSchema.parse((await server.inject(`${url}/state`)).json())

  async function until(holds: (line: string) => boolean, what: string): Promise<string> {
    const found = new AbortController()
    const signal = AbortSignal.any([found.signal, AbortSignal.timeout(WITHIN_MS)])
    for await (const batch of store.subscribe({ after: START, prefixes: [stream], signal })) {
      const line = told(batch.events).find(holds)
      if (line === undefined) continue
      found.abort()
      return line
    }
    throw new Error(`${what} did not come:\n${told(await events()).join('\n')}`)
  }
  return {
    id,
    url,
    events,
    state,
    post: (path, payload, headers = {}) =>
      server.inject({
        method: 'POST',
        url: `${url}/${path}`,
        headers: { ...headers, ...(payload === undefined ? {} : { 'content-type': 'application/json' }) },
        ...(payload === undefined ? {} : { payload: JSON.stringify(payload) }),
      }),
    get: (path, headers = {}) => server.inject({ method: 'GET', url: `${url}/${path}`, headers }),
    statuses: async () =>
      Object.fromEntries(Object.entries((await state()).stages).map(([stage, { status }]) => [stage, status])),
    data: async (type) =>
      (await events()).filter((event) => event.type === type).map(({ data }) => data as Record<string, Json>),
    told: async () => told(await events()),
    until: async (line) => void (await until((one) => one === line, line)),
    end: () => until((line) => /^Execution(Completed|Failed|Cancelled)$/.test(line), 'the end of the run'),
  }
}

function heldStages() {
  const waiting = new Map<string, { resolve(output: Json): void; reject(error: Error): void }>()
  const handler: Handler = {
    name: 'held',
    run: ({ executionId, stage, signal }) =>
      new Promise((resolve, reject) => {
        waiting.set(`${executionId} ${stage}`, { resolve, reject })
        signal.addEventListener('abort', () => reject(new Error('aborted')), { once: true })
      }),
  }
  return {
    handler,
    release(key: string, { output = null, error, retryable = false }: Parameters<Scenario['release']>[2] & object) {
      const ends = waiting.get(key)
      if (ends === undefined) throw new Error(`no attempt of ${key} is held`)
      waiting.delete(key)
      if (error === undefined) ends.resolve(output)
      else ends.reject(new StageFailure({ code: error, message: 'as the test said', retryable }))
    },
  }
}

/** Fails every attempt; with `until` those before that one. */
const fails: Handler = {
  name: 'fails',
  async run({ attempt, input: { until, code = 'BROKEN' } }) {
    if (typeof until === 'number' && attempt >= until) return { attempt }
    throw new StageFailure({ code: String(code), message: 'it always does', retryable: true })
  },
}
