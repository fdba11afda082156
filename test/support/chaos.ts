// `npm run chaos -- --minutes 10 [--profile distributed]`: the whole program under load and faults for as long as it is told, then the judgement.
// CHAOS_SEED repeats the order of the faults. The last line of output is JSON; the exit code is 0 when all promises held.
import { parseArgs } from 'node:util'
import { seededChance } from './chance.ts'
import { distributedObstacle } from './distributed.ts'
import { harms, tormentDistributed } from './distributed-chaos.ts'
import { type FaultKind, kindsFor, type Struck, strike } from './faults.ts'
import { judge, nothing } from './judge.ts'
import { Scene } from './scene.ts'

/** The log grows with the time; memory is only used as far as it has, or while the disk is full. */
const DISK_MEGABYTES = { least: 256, perMinute: 64 }
/** Between two passes: as many runs may be left over from one as the next can work off. */
const MOST_LEFT_OVER = 40
/** Each minute; less than this, and it has shown nothing. */
const LEAST_COMPLETED = 60
const LEAST_OF_EACH = 1
/** Each minute, of a profile whose servers are killed all the time. */
const LEAST_DISTRIBUTED = 30

const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '10' }, profile: { type: 'string', default: 'embedded' } },
})
if (values.profile !== 'embedded' && values.profile !== 'distributed')
  throw new Error(`--profile is embedded or distributed, not ${values.profile}`)
const minutes = Number(values.minutes)
if (!(minutes > 0)) throw new Error(`--minutes is a number above 0, not ${values.minutes}`)

const closing: (() => Promise<void>)[] = []
const reporting: (() => void)[] = []
const scope = {
  onTestFinished: (close: () => Promise<void>) => void closing.unshift(close),
  onTestFailed: (report: () => void) => void reporting.push(report),
}
const began = Date.now()
const endsAt = began + minutes * 60_000
const struck: Struck = {}
try {
  process.exitCode = (await (values.profile === 'distributed' ? distributed() : embedded())) ? 0 : 1
} catch (error) {
  console.error(error)
  process.exitCode = 1
}
if (process.exitCode !== 0) for (const report of reporting) report()
for (const close of closing) await close()

async function embedded(): Promise<boolean> {
  const megabytes = DISK_MEGABYTES.least + Math.ceil(DISK_MEGABYTES.perMinute * minutes)
  const scene = await Scene.make(seededChance(), scope, megabytes)
  if (scene.undivided !== undefined) console.log(`no disk is filled: ${scene.undivided}`)
  return torment(scene, kindsFor(scene))
}

/** Every role a process of its own, on real servers: each of them harmed in turn. */
async function distributed(): Promise<boolean> {
  const why = await distributedObstacle()
  if (why !== undefined) throw new Error(`the distributed profile cannot be had here: ${why}`)
  const isEnough = (): boolean => Date.now() >= endsAt
  const { faults, figures } = await tormentDistributed(scope, seededChance(), harms, isEnough, (line) =>
    console.log(line),
  )
  for (const line of faults) console.log(line)
  const harmed = Object.keys(figures.harm ?? {}).length
  const isTooLittle = harmed < harms.length || Number(figures.completed) < LEAST_DISTRIBUTED * minutes
  if (isTooLittle) console.log('too little was done to have shown anything')
  console.log(JSON.stringify({ name: 'chaos-distributed', minutes: round((Date.now() - began) / 60_000), ...figures }))
  return faults.length === 0 && !isTooLittle
}

/** Answers whether all that was promised held, and enough was done for that to mean something. */
async function torment(scene: Scene, deck: readonly FaultKind[]): Promise<boolean> {
  const stuck: string[] = []
  await strike(scene, deck, {
    struck,
    isEnough: async () => {
      stuck.push(...(await scene.settled(MOST_LEFT_OVER)))
      return stuck.length > 0 || Date.now() >= endsAt
    },
    between: async (kind) => progress(scene, kind),
  })
  const { found, figures } = await judge(scene, [...stuck, ...(await scene.heal())], struck)
  for (const [what, lines] of Object.entries(found)) for (const line of lines) console.log(`${what}: ${line}`)
  const tooFew = [
    ...deck.filter((kind) => (struck[kind] ?? 0) < LEAST_OF_EACH),
    ...(figures.completed < LEAST_COMPLETED * minutes ? ['completed runs'] : []),
  ]
  for (const what of tooFew) console.log(`too few to have shown anything: ${what}`)
  console.log(JSON.stringify({ name: 'chaos', minutes: round((Date.now() - began) / 60_000), ...figures }))
  return tooFew.length === 0 && JSON.stringify(found) === JSON.stringify(nothing)
}

function progress({ load }: Scene, kind: FaultKind): void {
  const elapsed = Math.round((Date.now() - began) / 1_000)
  const left = Math.max(0, Math.round((endsAt - Date.now()) / 1_000))
  const by = Object.entries(struck).map(([kind, times]) => `${kind} ${times}`)
  console.log(`${elapsed} s, ${left} s left; ${load.runs.length} runs; after ${kind}: ${by.join(', ')}`)
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}
