// Where chaos happens: one data directory, the programs that run on it one after another, and the clients that work with
// them.
import { spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Chance } from './chance.ts'
import { Load } from './load.ts'
import { type Ended, type Home, makeHome, type Program } from './program.ts'
import { obstacle } from './skip.ts'

/** A stage that was lost again and again waits 15 s before its next attempt; the rest is for doing the work. */
export const HEALED_WITHIN_MS = 60_000
/** Short, so that a process that is stopped for a little longer has lost its leases. */
export const LEASE_MS = 1_000
const OUT_OF_REACH = 'the read models are out of reach'
const FLAGS = [
  ...['--lease-ms', String(LEASE_MS), '--heartbeat-ms', '100'],
  ...['--handlers', join(import.meta.dirname, '../../bench/noop.ts')],
]

type Scope = Parameters<typeof makeHome>[0]
type Running = { readonly program: Program; readonly url: string }

/** Answers what stands in the way, if something does. */
function mountDisk(folder: string, megabytes: number, scope: Scope): string | undefined {
  mkdirSync(folder)
  const why = obstacle('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', folder])
  if (why === undefined)
    scope.onTestFinished(async () => {
      spawnSync('umount', ['--lazy', folder])
    })
  return why
}

export class Scene {
  readonly home: Home
  readonly load: Load
  readonly chance: Chance
  /** Where the event log is. */
  readonly log: string
  /** Why that is no small disk of its own, which could be filled; undefined where it is one. */
  readonly undivided: string | undefined
  /** How many rebuilds were answered that they are asked for. */
  rebuilds = 0
  #program: Program | undefined

  private constructor(home: Home, chance: Chance, log: string, undivided: string | undefined) {
    this.home = home
    this.chance = chance
    this.log = log
    this.undivided = undivided
    this.load = new Load(chance, home.effects)
  }

  /**
   * Sets it up, with the workflows of the load registered and no program running.
   * @param diskMegabytes puts the log on a disk of that size, where one can be had
   */
  static async make(chance: Chance, scope: Scope, diskMegabytes?: number): Promise<Scene> {
    const home = await makeHome(scope)
    const log = join(home.data, 'log')
    const undivided = diskMegabytes === undefined ? 'nobody asked for one' : mountDisk(log, diskMegabytes, scope)
    const scene = new Scene(home, chance, log, undivided)
    const { url } = await scene.running()
    await scene.load.register(url)
    await keepFew(url)
    await scene.end('SIGKILL')
    return scene
  }

  /** Has the largest read models built again; one that is being built already goes on. */
  async askForRebuilds(url: string): Promise<void> {
    for (const name of ['executions', 'events']) {
      const asked = `${url}/v1/admin/projections/${name}/rebuild`
      const answer = await fetch(asked, { method: 'POST' }).catch(() => undefined)
      if (answer?.status === 202) this.rebuilds++
    }
  }

  /** Has streams of runs that have ended taken out of the log, as far as it gets. */
  async askForCleanUp(url: string): Promise<void> {
    await fetch(`${url}/v1/default/retention/clean-up`, { method: 'POST' }).catch(() => {})
  }

  /** A new program, which may not be ready yet. */
  start(): Program {
    if (this.#program) throw new Error('a program runs here already')
    this.#program = this.home.start(...FLAGS)
    return this.#program
  }

  /** The program that runs here, started where there is none, once it is ready. */
  async running(): Promise<Running> {
    const program = this.#program ?? this.start()
    return { program, url: await program.ready }
  }

  /** Ends the program, if one runs. */
  async end(signal: NodeJS.Signals): Promise<Ended | undefined> {
    const program = this.#program
    this.#program = undefined
    return program?.kill(signal)
  }

  /** Resolves once at most `most` runs are open and the read models have caught up; answers what keeps it from that too long. */
  async settled(most: number): Promise<readonly string[]> {
    const { url } = await this.running()
    for (const deadline = Date.now() + HEALED_WITHIN_MS; ; await delay(100)) {
      const late = await lateReadModels(url)
      const open = late.length > 0 ? [] : await openRuns(url)
      if (late.length === 0 && open.length <= most) return []
      if (Date.now() > deadline) return [...late, ...open]
      await this.load.answerAll(url)
    }
  }

  /** No more faults: work goes on, everything comes to its end, and then the program is asked to stop. Answers what is stuck. */
  async heal(): Promise<readonly string[]> {
    const { url, program } = await this.running()
    await this.load.round(url)
    const from = performance.now()
    const open = await this.settled(0)
    console.log(`everything had ended ${Math.round(performance.now() - from)} ms after the last request`)
    const stuck = await Promise.all(open.map((id) => describe(url, id)))
    await expectDrained(program, this)
    return stuck
  }
}

/** Of each workflow only the last few runs stay in the log: the others go into the archive. */
export async function keepFew(url: string): Promise<void> {
  const headers = { 'content-type': 'application/json' }
  const body = JSON.stringify({ streams: [{ atMost: 3 }] })
  const answer = await fetch(`${url}/v1/default/retention`, { method: 'PUT', headers, body })
  if (!answer.ok) throw new Error(`the policy is not set: ${await answer.text()}`)
}

/** SIGTERM, upon which the program ends by itself and says that all is well. */
export async function expectDrained(program: Program, scene: Scene): Promise<void> {
  const ended = await scene.end('SIGTERM')
  if (ended?.code !== 0) throw new Error(`SIGTERM ended it with ${JSON.stringify(ended)}: ${program.stderr()}`)
}

/** Undefined where the read models are out of reach. */
async function itemsAt<T>(url: string): Promise<readonly T[] | undefined> {
  const response = await fetch(url)
  return response.ok ? ((await response.json()) as { items: T[] }).items : undefined
}

async function lateReadModels(url: string): Promise<readonly string[]> {
  type Shown = { name: string; lagEvents: number; rebuild?: { status: string; phase: string; error?: string } }
  const projections = await itemsAt<Shown>(`${url}/v1/admin/projections`)
  if (projections === undefined) return [OUT_OF_REACH]
  const late = projections.filter(({ lagEvents }) => lagEvents > 0).map(({ name }) => `projection ${name}`)
  const building = projections.filter(({ rebuild }) => rebuild !== undefined && rebuild.status !== 'swapped')
  return [...late, ...building.map(({ name, rebuild }) => `rebuild of ${name}: ${JSON.stringify(rebuild)}`)]
}

/** Runs that have not ended, as the read models have it. */
async function openRuns(url: string): Promise<readonly string[]> {
  const pages = ['running', 'cancelling'].map((status) =>
    itemsAt<{ id: string }>(`${url}/v1/default/executions?limit=200&status=${status}`),
  )
  return (await Promise.all(pages)).flatMap((page) => page?.map(({ id }) => id) ?? [OUT_OF_REACH])
}

async function describe(url: string, run: string): Promise<string> {
  const response = await fetch(`${url}/v1/default/executions/${encodeURIComponent(run)}/history?limit=200`)
  const { items = [] } = (await response.json()) as { items?: { type: string; at: string; data: object }[] }
  return [run, ...items.slice(1).map(({ type, at, data }) => `  ${at} ${type} ${JSON.stringify(data)}`)].join('\n')
}
