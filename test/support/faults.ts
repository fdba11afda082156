// What is done to the whole program while clients work with it.
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { LOG_FILE } from '../../src/adapters/event-store/embedded-log.ts'
import { readPidFile } from '../../src/adapters/read-models/postmaster.ts'
import type { Chance } from './chance.ts'
import type { Program } from './program.ts'
import { expectDrained, LEASE_MS, type Scene } from './scene.ts'
import { type Frame, framesOf, isOfGeneration, WAL_HEADER_BYTES } from './wal-frames.ts'

/** Resolves once it is over, and whether it struck; what must not happen is thrown. */
type Fault = (scene: Scene) => Promise<boolean>
type Strike = (scene: Scene, program: Program, url: string) => Promise<boolean>

const MOST_DELAY_MS = 1_500
/** As long as it takes to build what there is again: a fault strikes in the middle, or just before or after. */
const MOST_REBUILDING_MS = 800
const RECOVERED_WITHIN_MS = 30_000

/** While clients work, at a moment that the dice say. */
const underLoad =
  (strike: Strike): Fault =>
  async (scene) => {
    const { program, url } = await scene.running()
    const striking = (async () => {
      await delay(scene.chance.below(MOST_DELAY_MS))
      await scene.askForRebuilds(url)
      const cleaning = scene.askForCleanUp(url)
      await delay(scene.chance.below(MOST_REBUILDING_MS))
      const struck = await strike(scene, program, url)
      await cleaning
      return struck
    })()
    const [struck] = await Promise.all([striking, scene.load.round(url)])
    return struck
  }

export const faults = {
  kill: underLoad(kill),
  'kill-at-start': killAtStart,
  'stop-and-continue': underLoad(stopAndContinue),
  terminate: underLoad(async (scene, program) => {
    await expectDrained(program, scene)
    return true
  }),
  'restart-postgres': underLoad(restartPostgres),
  'fill-disk': underLoad(fillDisk),
  'tear-log': async (scene) => {
    await underLoad(kill)(scene)
    return tearLog(join(scene.log, `${LOG_FILE}-wal`), scene.chance)
  },
} as const satisfies Readonly<Record<string, Fault>>

export type FaultKind = keyof typeof faults

/** Every kind of fault that is possible here. */
export function kindsFor({ undivided }: Scene): readonly FaultKind[] {
  return (Object.keys(faults) as FaultKind[]).filter((kind) => kind !== 'fill-disk' || undivided === undefined)
}

/** How often each kind struck. */
export type Struck = Partial<Record<FaultKind, number>>

/**
 * Strikes with every fault of the deck, in an order that the dice say, again and again until it is enough.
 * @param deck a kind as often as it is to strike in each pass
 */
export async function strike(
  scene: Scene,
  deck: readonly FaultKind[],
  {
    isEnough,
    struck,
    between = async () => {},
  }: {
    isEnough(passes: number): boolean | Promise<boolean>
    struck: Struck
    between?(kind: FaultKind): Promise<void>
  },
): Promise<void> {
  for (let passes = 0; !(await isEnough(passes)); passes++)
    for (const kind of shuffled(deck, scene.chance)) {
      if (await faults[kind](scene)) struck[kind] = (struck[kind] ?? 0) + 1
      await between(kind)
    }
}

function shuffled<T>(from: readonly T[], chance: Chance): readonly T[] {
  return from
    .map((one) => ({ one, place: chance.next() }))
    .sort((a, b) => a.place - b.place)
    .map(({ one }) => one)
}

async function kill(scene: Scene): Promise<boolean> {
  await scene.end('SIGKILL')
  return true
}

/** Only the kill may end it, also before it is ready. */
async function killAtStart(scene: Scene): Promise<boolean> {
  await scene.end('SIGKILL')
  const program = scene.start()
  const working = program.ready.then((url) => scene.load.round(url)).catch(() => {})
  await delay(scene.chance.below(MOST_DELAY_MS))
  const ended = await scene.end('SIGKILL')
  if (ended?.signal !== 'SIGKILL') throw new Error(`it ended by itself: ${program.stderr()}`)
  await working
  return true
}

/** For longer than a lease: what it had under way is lost, although it knows nothing of that when it goes on. */
async function stopAndContinue(scene: Scene, { pid }: Program): Promise<boolean> {
  process.kill(pid, 'SIGSTOP')
  await delay(LEASE_MS * (1.2 + scene.chance.next()))
  process.kill(pid, 'SIGCONT')
  return true
}

/** As `pg_ctl stop -m immediate` does: no checkpoint, so the next start has to recover. The program starts it again. */
async function restartPostgres({ home }: Scene, program: Program): Promise<boolean> {
  const folder = join(home.data, 'postgres')
  const before = await readPidFile(folder)
  if (before === undefined) throw new Error('PostgreSQL is not there')
  process.kill(before.pid, 'SIGQUIT')
  await until('PostgreSQL is back', program, async () => {
    const now = await readPidFile(folder)
    return now?.ready === true && now.pid !== before.pid
  })
  return true
}

/** Nothing more can be written, the clients are told so, and once there is room it goes on by itself. */
async function fillDisk({ log, load, chance }: Scene, program: Program, url: string): Promise<boolean> {
  const ballast = join(log, 'ballast')
  try {
    await fillUp(ballast)
    await until('it says that nothing can be written', program, async () => {
      await load.fill(url)
      // What is small may still fit, and then it takes events again.
      return !(await takesEvents(url))
    })
    await delay(chance.below(500))
  } finally {
    rmSync(ballast)
  }
  await until('it takes runs again, and says so', program, async () => (await load.isTaken(url)) && takesEvents(url))
  return true
}

async function fillUp(file: string): Promise<void> {
  const handle = await open(file, 'w')
  try {
    for (const bytes = Buffer.alloc(1_048_576, 1); ; ) await handle.write(bytes)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
  } finally {
    await handle.close()
  }
}

/** What the program says of its log; whether it is ready in other respects is no matter here. */
async function takesEvents(url: string): Promise<boolean> {
  const response = await fetch(`${url}/health/ready`)
  return ((await response.json()) as { checks: { eventLog: boolean } }).checks.eventLog
}

async function until(what: string, program: Program, isSo: () => Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + RECOVERED_WITHIN_MS; !(await isSo()); await delay(50))
    if (Date.now() > deadline) throw new Error(`not within ${RECOVERED_WITHIN_MS} ms: ${what}: ${program.stderr()}`)
}

/**
 * Puts behind the last commit what a crash leaves there: bytes of nothing, or a transaction whose frames do not fit what is
 * before them. No commit is touched. False where there is no log to tear.
 */
async function tearLog(file: string, chance: Chance): Promise<boolean> {
  if (!existsSync(file)) return false
  const wal = readFileSync(file)
  if (wal.length < WAL_HEADER_BYTES) return false
  const transactions = framesOf(wal)
  const from = transactions.at(-1)?.at(-1)?.end ?? WAL_HEADER_BYTES
  // Killed in the middle of one, or not written to since it was torn: a crash tears one transaction and no more.
  if (isOfGeneration(wal, from)) return true
  const torn =
    transactions.length > 0 && chance.next() < 0.7 ? cut(wal, chance.pick(transactions), chance) : noise(chance)
  const handle = await open(file, 'r+')
  await handle.write(torn, 0, torn.length, from)
  await handle.close()
  return true
}

function cut(wal: Buffer, transaction: readonly Frame[], chance: Chance): Buffer {
  const { offset } = transaction[0]!
  return wal.subarray(offset, offset + 1 + chance.below(transaction.at(-1)!.end - offset))
}

const noise = (chance: Chance): Buffer =>
  Buffer.from(Array.from({ length: 1 + chance.below(10_000) }, () => chance.below(256)))
