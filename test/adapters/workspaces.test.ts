// Working directories go some time after the end of their run, and nothing else goes with them.
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import { newId } from '../../src/commands/new-id.ts'
import { createHistory } from '../../src/queries/history.ts'
import { tidyWorkspaces, watchUse } from '../../src/workers/handlers/workspaces.ts'
import { silent, startEngine } from '../support/engine.ts'
import { cancel, chain } from '../support/executions.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { freshStore } from '../support/stores.ts'

const HOUR = 3_600_000

let workDir: string
beforeEach(() => {
  workDir = mkdtempSync(join(tmpdir(), 'millrace-work-'))
  return () => rmSync(workDir, { recursive: true, force: true })
})

function directory(name: string): string {
  mkdirSync(join(workDir, name))
  writeFileSync(join(workDir, name, 'package.tar.gz'), 'x')
  return name
}

/** Keeps for a day what the log, made up of `ends`, says has ended. */
function tidying(ends: Readonly<Record<string, string>>, endedAt = async (id: string) => ends[id]) {
  const clock = new ManualClock()
  const warn = vi.fn()
  const logger = { ...silent, warn }
  const tidy = tidyWorkspaces({ workDir, keepMs: 24 * HOUR, clock, logger, endedAt })
  onTestFinished(() => tidy.stop())
  const gone = (id: string) => vi.waitFor(() => expect(existsSync(join(workDir, id))).toBe(false))
  return { clock, warn, tidy, gone }
}

const hoursAgo = (hours: number): string => new Date(new ManualClock().now() - hours * HOUR).toISOString()

describe('the working directory of a run', () => {
  it('is removed a day after the end of the run, and not before', async () => {
    const [old, recent, running, unknown] = Array.from({ length: 4 }, () => directory(newId())) as [
      string,
      string,
      string,
      string,
    ]
    const { clock, tidy, gone } = tidying({ [old]: hoursAgo(24), [recent]: hoursAgo(23.5) })
    await gone(old)
    expect(readdirSync(workDir).sort()).toEqual([recent, running, unknown].sort())
    clock.advance(HOUR)
    await gone(recent)
    await tidy.stop()
    expect(readdirSync(workDir).sort()).toEqual([running, unknown].sort())
    expect(clock.pending).toBe(0)
  })

  it('is all that is removed: no file, no other folder, and nothing behind a link', async () => {
    const outside = mkdtempSync(join(tmpdir(), 'millrace-outside-'))
    onTestFinished(() => rmSync(outside, { recursive: true }))
    writeFileSync(join(outside, 'precious'), 'x')
    const [old, link, file] = [directory(newId()), newId(), newId()]
    symlinkSync(outside, join(workDir, old, 'within'))
    symlinkSync(outside, join(workDir, link))
    writeFileSync(join(workDir, file), 'x')
    const others = ['.attempts', 'notes', `${newId()}.bak`].map(directory)
    const ended = hoursAgo(100)
    const { gone, tidy } = tidying({}, async () => ended)
    await gone(old)
    await tidy.stop()
    expect(readdirSync(workDir).sort()).toEqual([link, file, ...others].sort())
    expect(readdirSync(outside)).toEqual(['precious'])
  })

  it('stays while the log cannot be asked, and that is said', async () => {
    const old = directory(newId())
    let broken = true
    const { clock, warn, gone } = tidying({}, async () => {
      if (broken) throw new Error('no log')
      return hoursAgo(100)
    })
    await vi.waitFor(() => expect(warn).toHaveBeenCalledTimes(1))
    expect(readdirSync(workDir)).toEqual([old])
    broken = false
    clock.advance(HOUR)
    await gone(old)
  })

  it('may not be there at all', async () => {
    rmSync(workDir, { recursive: true })
    const { tidy, warn } = tidying({})
    await tidy.stop()
    expect(warn).not.toHaveBeenCalled()
  })
})

it('the log says when a run has ended, of whatever namespace', async () => {
  const store = await freshStore()
  const engine = await startEngine(store)
  const [running, ended] = [await engine.begin(chain), await engine.begin(chain)]
  await engine.command(ended, cancel)
  const { endedAt } = createHistory(store)
  expect(await endedAt(ended)).toBe((await engine.history(ended)).at(-1)!.at)
  expect(await endedAt(running)).toBeUndefined()
  expect(await endedAt(newId())).toBeUndefined()
  await engine.stop()
})

describe('the working directory of a run, where a worker does not hear of its end', () => {
  it('is left once no attempt uses it, and as long as that is kept, however long an attempt takes', async () => {
    const id = directory(newId())
    const held = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    let begun = 0
    const { handler, leftAt } = watchUse(
      { name: 'shell', run: () => held[begun++]!.promise as Promise<never> },
      workDir,
    )
    const attempts = [1, 2].map((attempt) => handler.run({ executionId: id, attempt } as never))
    const { clock, tidy } = tidying({}, leftAt)
    const old = new Date(clock.now() - 100 * HOUR)
    utimesSync(join(workDir, id), old, old)
    clock.advance(HOUR)
    held[0]!.resolve()
    await attempts[0]
    utimesSync(join(workDir, id), old, old)
    expect(await leftAt(id)).toBeUndefined()
    clock.advance(HOUR)
    held[1]!.reject(new Error('it failed'))
    await expect(attempts[1]).rejects.toThrow('it failed')
    // Since now, by the clock of the file system.
    expect(Math.abs(Date.parse((await leftAt(id))!) - Date.now())).toBeLessThan(60_000)
    await tidy.stop()
    expect(existsSync(join(workDir, id))).toBe(true)
    utimesSync(join(workDir, id), old, old)
    const { gone } = tidying({}, leftAt)
    await gone(id)
  })
})

it('an attempt that begins while its directory goes waits for that, and one that uses it keeps it', async () => {
  const id = directory(newId())
  const begun: boolean[] = []
  const gone = Promise.withResolvers<void>()
  const run = async () => void begun.push(existsSync(join(workDir, id)))
  const { handler, removing } = watchUse({ name: 'shell', run: run as never }, workDir)
  const going = removing(id, async () => {
    await gone.promise
    rmSync(join(workDir, id), { recursive: true })
  })
  const attempt = handler.run({ executionId: id } as never)
  await removing(id, async () => expect.unreachable('it is used'))
  expect(begun).toEqual([])
  gone.resolve()
  await Promise.all([going, attempt])
  expect(begun).toEqual([false])
})
