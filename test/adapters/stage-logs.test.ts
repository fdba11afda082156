import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { createFileStageLogs } from '../../src/adapters/stage-logs/files.ts'
import type { Clock } from '../../src/ports/clock.ts'
import type { StageLogs, StageLogWriter } from '../../src/ports/stage-logs.ts'

const RUN = '0198c0de-0000-7000-8000-000000000001'
const START = Date.parse('2026-01-02T03:04:05.678Z')
let dir: string
let logs: StageLogs
let warnings: string[]
let timers: (() => void)[]

/** Its timers run when a test says so. */
const clock: Clock = {
  now: () => START,
  monotonicMs: () => 0,
  after(delayMs, run) {
    expect(delayMs).toBe(100)
    timers.push(run)
    return () => {
      timers = timers.filter((timer) => timer !== run)
    }
  },
}
const tick = (): void => {
  for (const run of timers.splice(0)) run()
}
const connect = (): StageLogs => createFileStageLogs({ dir, clock, warn: (message) => warnings.push(message) })
const fileOf = (stage: string, attempt = 1): string => join(dir, RUN, `${stage}.${attempt}.ndjson`)

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'millrace-logs-'))
  warnings = []
  timers = []
  logs = connect()
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

async function written(...texts: string[]): Promise<void> {
  const writer = logs.open(RUN, 'build', 1)
  for (const text of texts) writer.write('stdout', text)
  await writer.close()
}

const texts = async (options?: { after?: number; limit?: number }): Promise<string[]> =>
  (await logs.read(RUN, 'build', 1, options)).map((line) => line.text)

describe('lines', () => {
  it('come back as they were written, numbered from 1', async () => {
    const writer = logs.open(RUN, 'build', 1)
    writer.write('stdout', 'one')
    writer.write('stderr', 'twö\n"2"\u2028\0')
    writer.write('log', '')
    await writer.close()
    const at = '2026-01-02T03:04:05.678Z'
    expect(await logs.read(RUN, 'build', 1)).toEqual([
      { line: 1, at, stream: 'stdout', text: 'one' },
      { line: 2, at, stream: 'stderr', text: 'twö\n"2"\u2028\0' },
      { line: 3, at, stream: 'log', text: '' },
    ])
  })

  it('of one attempt are not those of another', async () => {
    await written('first')
    const second = logs.open(RUN, 'build', 2)
    second.write('stdout', 'second')
    await second.close()
    expect(await texts()).toEqual(['first'])
    expect(await logs.read(RUN, 'build', 2)).toMatchObject([{ line: 1, text: 'second' }])
    expect(await logs.read(RUN, 'build', 3)).toEqual([])
    expect(await logs.read(RUN, 'other', 1)).toEqual([])
  })

  it('are read in pages', async () => {
    await written(...Array.from({ length: 2_500 }, (_, index) => `line ${index + 1}`))
    expect(await texts()).toHaveLength(1_000)
    expect(await texts({ after: 1_000, limit: 2 })).toEqual(['line 1001', 'line 1002'])
    expect(await texts({ after: 2_499 })).toEqual(['line 2500'])
    expect(await texts({ after: 2_500 })).toEqual([])
    expect(await texts({ limit: 0 })).toEqual([])
  })

  it('longer than 64 Ki characters come in pieces', async () => {
    await written('x'.repeat(150_000))
    expect((await texts()).map((text) => text.length)).toEqual([65_536, 65_536, 18_928])
  })

  it('need no file when there are none', async () => {
    await logs.open(RUN, 'build', 1).close()
    expect(existsSync(fileOf('build'))).toBe(false)
  })

  it.each([
    ['../escape', 'build', 1],
    [RUN, '..', 1],
    [RUN, 'a/b', 1],
    [RUN, '', 1],
    [RUN, 'a\0', 1],
    [RUN, 'build', 0],
    [RUN, 'build', 1.5],
  ])('of %s, %j, %d lead nowhere', async (execution, stage, attempt) => {
    expect(() => logs.open(execution, stage, attempt)).toThrow(RangeError)
    await expect(logs.read(execution, stage, attempt)).rejects.toThrow(RangeError)
  })
})

describe('while a writer is open', () => {
  let writer: StageLogWriter
  beforeEach(() => {
    writer = logs.open(RUN, 'build', 1)
  })
  afterEach(() => writer.close())

  it('a line is readable once its time has come', async () => {
    writer.write('stdout', 'a')
    writer.write('stdout', 'b')
    expect(await texts()).toEqual([])
    expect(timers).toHaveLength(1)
    tick()
    await vi.waitFor(async () => expect(await texts()).toEqual(['a', 'b']))
    writer.write('stdout', 'c')
    tick()
    await vi.waitFor(async () => expect(await texts({ after: 2 })).toEqual(['c']))
  })

  it('many lines are readable without waiting', async () => {
    for (let count = 0; count < 1_000; count++) writer.write('stdout', 'x'.repeat(100))
    await vi.waitFor(async () => expect((await texts()).length).toBeGreaterThan(400))
  })

  it('readers meet whole lines only, in order and without gaps', async () => {
    let seen = 0
    for (let batch = 0; batch < 50; batch++) {
      for (let count = 0; count < 100; count++) writer.write('stdout', 'y'.repeat(1_500))
      for (const { line, text } of await logs.read(RUN, 'build', 1, { after: seen, limit: 10_000 })) {
        expect([line, text.length]).toEqual([seen + 1, 1_500])
        seen = line
      }
    }
    await writer.close()
    expect(await logs.read(RUN, 'build', 1, { after: seen, limit: 10_000 })).toHaveLength(5_000 - seen)
  })
})

describe('a writer opened again', () => {
  it('goes on counting', async () => {
    await written('one', 'two')
    logs = connect()
    await written('three')
    expect(await logs.read(RUN, 'build', 1, { after: 2 })).toMatchObject([{ line: 3, text: 'three' }])
    expect(readFileSync(fileOf('build'), 'utf8').split('\n')).toHaveLength(4)
  })

  it.each(['{"line":3,"at":"2026', '{"line":3,"at":"x","stream":"stdout","text":"whole but for its line feed"}', 'ÿ'])(
    'leaves out what a crash tore: %s',
    async (torn) => {
      await written('one', 'two')
      appendFileSync(fileOf('build'), torn)
      expect(await texts()).toEqual(['one', 'two'])
      await written('three')
      expect(await logs.read(RUN, 'build', 1)).toMatchObject([
        { line: 1, text: 'one' },
        { line: 2, text: 'two' },
        { line: 3, text: 'three' },
      ])
    },
  )
})

describe('the limit of 10 MiB', () => {
  const LIMIT = 10 * 1024 * 1024

  it('ends the log with one line that says so', async () => {
    await written(...Array.from({ length: 3_000 }, () => 'z'.repeat(5_000)))
    expect(statSync(fileOf('build')).size).toBeLessThan(LIMIT + 1_000)
    const lines = await logs.read(RUN, 'build', 1, { limit: 10_000 })
    expect(lines.length).toBeGreaterThan(2_000)
    expect(lines.at(-1)).toMatchObject({ line: lines.length, stream: 'log', text: expect.stringContaining('dropped') })
    expect(lines.filter((line) => line.text.includes('dropped'))).toHaveLength(1)
    await written('more')
    expect(await logs.read(RUN, 'build', 1, { after: lines.length })).toEqual([])
  })

  it('also bounds the memory of a writer that nobody lets breathe', async () => {
    const before = process.memoryUsage().heapUsed
    const writer = logs.open(RUN, 'build', 1)
    for (let count = 0; count < 200_000; count++) writer.write('stdout', `${count} ${'w'.repeat(1_000)}`)
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(100 * 1024 * 1024)
    await writer.close()
    expect((await logs.read(RUN, 'build', 1, { limit: 100_000 })).at(-1)?.text).toContain('dropped')
  })
})

describe('a disk that fails', () => {
  it('costs lines but no stage, and is reported once until it works again', async () => {
    mkdirSync(join(dir, RUN))
    for (const stage of ['full', 'full-too', 'full-later']) symlinkSync('/dev/full', fileOf(stage))
    const write = async (stage: string): Promise<void> => {
      const writer = logs.open(RUN, stage, 1)
      writer.write('stdout', 'lost')
      tick()
      writer.write('stdout', 'lost as well')
      await writer.close()
    }
    await write('full')
    await write('full-too')
    expect(warnings).toEqual([expect.stringContaining('ENOSPC')])
    await written('kept')
    expect(await texts()).toEqual(['kept'])
    await write('full-later')
    expect(warnings).toHaveLength(2)
  })

  it('halfway through an append costs that append only', async () => {
    const handle = await open(join(dir, 'any'), 'a')
    const files = Object.getPrototypeOf(handle) as FileHandle
    await handle.close()
    const writer = logs.open(RUN, 'build', 1)
    writer.write('stdout', 'torn')
    const appendFile = vi.spyOn(files, 'appendFile').mockImplementationOnce(async function (this: FileHandle, text) {
      await this.write(String(text).slice(0, 20))
      throw new Error('EIO')
    })
    tick()
    await vi.waitFor(() => expect(warnings).toHaveLength(1))
    appendFile.mockRestore()
    writer.write('stdout', 'kept')
    await writer.close()
    expect(await texts()).toEqual(['kept'])
  })

  it('costs lines also where no folder can be made', async () => {
    rmSync(dir, { recursive: true })
    appendFileSync(dir, 'a file where the folder should be')
    await written('lost')
    expect(warnings).toHaveLength(1)
  })
})
