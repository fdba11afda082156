// `millrace demo`: the whole program on a temporary folder, one real workflow, and what is left of it in the log.
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'
import { stripVTControlCharacters } from 'node:util'

const root = join(import.meta.dirname, '../..')
const POLL_MS = 150
const START_WITHIN_MS = 60_000
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

type Signal = (typeof SIGNALS)[number]
/** How the demo went, or the signal that broke it off. */
type Outcome = 'completed' | 'failed' | Signal

type Stage = { status: string; attempt: number; error?: { message: string }; reason?: string; output?: unknown }
type Execution = { id: string; status: string; stages: Record<string, Stage>; startedAt: string; finishedAt?: string }
type HistoryEvent = { revision: string; at: string; type: string; data: { stage?: string; attempt?: number } }

/** Its folder is removed at the end, but for a demo that went wrong, or one that is to be kept. */
export async function demo({ keep = false }: { keep?: boolean }): Promise<void> {
  const data = await mkdtemp(join(tmpdir(), 'millrace-demo-'))
  const stopped = stopAsked()
  console.log(`Starting Millrace on ${data} …`)
  const program = startProgram(data)
  let outcome: Outcome = 'failed'
  try {
    outcome = await Promise.race([stopped, show(program, data)])
  } finally {
    await ended(program)
    await leave(data, keep || outcome === 'failed')
  }
  process.exitCode = outcome === 'completed' ? 0 : outcome === 'failed' ? 1 : 128 + constants.signals[outcome]
}

async function show(program: ChildProcess, data: string): Promise<Outcome> {
  const url = await listening(program)
  console.log(`It listens on ${url}; its API is described at ${url}/docs. The log is in ${join(data, 'log')}.\n`)
  return (await release(url)) ? 'completed' : 'failed'
}

/** In a group of its own: a terminal sends Ctrl-C to all of ours, and from us it would be the second, which drains nothing. */
const startProgram = (data: string): ChildProcess =>
  spawn(process.execPath, [join(root, 'src/main.ts'), 'start', '--port', '0', '--data', data, '--log-level', 'warn'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  })

/** More signals change nothing: npm passes on the Ctrl-C that the terminal has sent already. */
const stopAsked = (): Promise<Signal> =>
  new Promise((resolve) => {
    for (const signal of SIGNALS) process.on(signal, resolve)
  })

async function leave(data: string, keep: boolean): Promise<void> {
  if (keep) {
    console.log(`\nThe log is in ${join(data, 'log')}; to look around:\n  npm start -- --data ${data}`)
    return
  }
  await rm(data, { recursive: true, force: true })
  console.log(
    `\nThe log was in ${join(data, 'log')} and is removed. To keep it and look around:\n  npm run demo -- --keep`,
  )
}

/** Resolves with the address once the program says that it is ready. */
function listening(program: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`not ready after ${START_WITHIN_MS / 1000} s`)), START_WITHIN_MS)
    let said = ''
    program.stdout?.on('data', (chunk: Buffer) => {
      said += chunk.toString()
      const address = /listens on (\S+)/.exec(said)?.[1]
      if (address === undefined) return
      clearTimeout(timer)
      resolve(address)
    })
    program.once('exit', (code) => {
      clearTimeout(timer)
      reject(new Error(`the program ended with ${code} before it was ready`))
    })
  })
}

async function release(url: string): Promise<boolean> {
  const document = await readFile(join(root, 'examples/release.yaml'), 'utf8')
  const { name, version } = await call<{ name: string; version: number }>(`${url}/v1/default/workflows/release`, {
    method: 'PUT',
    headers: { 'content-type': 'application/yaml' },
    body: document,
  })
  console.log(`Registered examples/release.yaml as ${name}, version ${version}. Running it:`)
  const input = { source: join(root, 'examples/project'), publish: false }
  const started = await call<{ id: string; position: string }>(`${url}/v1/default/executions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'idempotency-key': 'demo' },
    body: JSON.stringify({ workflow: name, input }),
  })
  const execution = await watch(url, started)
  printResult(execution)
  await printHistory(url, execution.id)
  return execution.status === 'completed'
}

/** Shows each stage as it changes until the run has ended. */
async function watch(url: string, { id, position }: { id: string; position: string }): Promise<Execution> {
  const shown = new Map<string, string>()
  for (;;) {
    const execution = await call<Execution>(`${url}/v1/default/executions/${id}?minPosition=${position}&wait=10s`)
    for (const [stage, { status, attempt, error, reason }] of Object.entries(execution.stages)) {
      const line = `${status}${attempt > 1 ? ` (attempt ${attempt})` : ''}`
      if (shown.get(stage) === line || status === 'blocked') continue
      shown.set(stage, line)
      const why = firstLine((status === 'retrying' || status === 'failed' ? error?.message : reason) ?? '')
      console.log(`  ${sinceStart(execution)}  ${stage.padEnd(12)} ${line}${why === '' ? '' : `: ${why}`}`)
    }
    if (execution.finishedAt !== undefined) return execution
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
}

function sinceStart({ startedAt, finishedAt }: Execution): string {
  const ms = (finishedAt === undefined ? Date.now() : Date.parse(finishedAt)) - Date.parse(startedAt)
  return `${(ms / 1000).toFixed(1).padStart(5)} s`
}

function printResult(execution: Execution): void {
  console.log(
    `\nThe run ${execution.id} is ${execution.status} after ${sinceStart(execution).trim()}. What its stages left:`,
  )
  for (const [stage, { output }] of Object.entries(execution.stages))
    if (output !== undefined && output !== null) console.log(`  ${stage.padEnd(12)} ${JSON.stringify(output)}`)
}

async function printHistory(url: string, id: string): Promise<void> {
  const { items } = await call<{ items: HistoryEvent[] }>(`${url}/v1/default/executions/${id}/history?limit=200`)
  console.log('\nIts history, one line an event:')
  for (const { revision, at, type, data } of items) {
    const about = data.stage === undefined ? '' : `${data.stage}${data.attempt ? ` #${data.attempt}` : ''}`
    console.log(`  ${revision.padStart(3)}  ${at.slice(11, 23)}  ${type.padEnd(20)} ${about}`)
  }
}

async function call<T>(url: string, request: RequestInit = {}): Promise<T> {
  const response = await fetch(url, request)
  const text = await response.text()
  if (!response.ok) throw new Error(`${request.method ?? 'GET'} ${url} answered ${response.status}: ${text}`)
  return JSON.parse(text) as T
}

/** What scripts wrote is shown without the escapes that could rewrite the terminal. */
const firstLine = (text: string): string => stripVTControlCharacters(text.split('\n', 1)[0] ?? '').slice(0, 100)

async function ended(program: ChildProcess): Promise<void> {
  if (program.exitCode !== null || program.signalCode !== null) return
  const exited = new Promise((resolve) => program.once('exit', resolve))
  program.kill('SIGTERM')
  await exited
}
