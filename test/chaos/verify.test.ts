// A whole program verifies itself while clients work with it, before and after it was killed. False accusations are the worst
// that a verification can do, so this is where they would show.
import { randomInt } from 'node:crypto'
import { expect, it } from 'vitest'
import { verificationSchema } from '../../src/api/verification-answers.ts'
import { chanceOf } from '../support/chance.ts'
import { Load } from '../support/load.ts'
import { makeHome, type Program } from '../support/program.ts'

const ROUNDS = 3
const LEAST_EVENTS = 500

it('accuses nobody while runs of every kind go on, nor right after a kill', { timeout: 240_000 }, async (t) => {
  const seed = Number(process.env.CHAOS_SEED ?? randomInt(2 ** 31))
  console.log(`CHAOS_SEED=${seed}`)
  const home = await makeHome(t)
  const load = new Load(chanceOf(seed), home.effects)
  const seen: { events: number; seconds: number }[] = []

  async function verify(url: string): Promise<void> {
    const response = await fetch(`${url}/v1/admin/verify`, { method: 'POST' })
    const lines = (await response.text()).trimEnd().split('\n')
    const last = verificationSchema.parse(JSON.parse(lines.at(-1)!))
    if (last.kind !== 'result') throw new Error(JSON.stringify(last))
    const { drift, violations, notChecked } = last
    expect({ drift: drift.items, violations: violations.items, notChecked }).toEqual({
      ...{ drift: [], violations: [], notChecked: [] },
    })
    seen.push({ events: last.events, seconds: last.seconds })
  }
  async function verifyDuring(program: Program): Promise<void> {
    const url = await program.ready
    let over = false
    const rounds = (async () => {
      for (let round = 0; round < ROUNDS; round++) await load.round(url)
    })().finally(() => {
      over = true
    })
    while (!over) await verify(url)
    await rounds
  }

  const first = home.start()
  await load.register(await first.ready)
  await verifyDuring(first)
  await first.kill('SIGKILL')
  const second = home.start()
  await verify(await second.ready)
  await verifyDuring(second)
  expect(await second.kill('SIGTERM'), second.stderr()).toEqual({ code: 0, signal: null })

  console.log(`${load.runs.length} runs, ${seen.length} verifications, the last over ${seen.at(-1)!.events} events`)
  expect(load.faults).toEqual([])
  expect(seen.at(-1)!.events).toBeGreaterThan(LEAST_EVENTS)
  expect(seen.length).toBeGreaterThan(4)
})
