// A whole program: how it starts beside another, what signals do, and that bin/millrace adds nothing of its own.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { endPrograms, type Program, run, runNode } from '../support/programs.ts'

const root = join(import.meta.dirname, '../..')
const main = join(root, 'src/main.ts')

let data: string
beforeEach(() => {
  data = mkdtempSync(join(tmpdir(), 'millrace-running-'))
})
afterEach(async () => {
  await endPrograms()
  rmSync(data, { recursive: true, force: true })
})

const start = (...args: string[]): Program =>
  runNode(main, ['start', '--port', '0', '--data', data, '--log-level', 'warn', ...args])

async function addressOf(program: Program): Promise<string> {
  await program.until((lines) => lines.some((line) => line.includes('listens on')))
  return /listens on (\S+)/.exec(program.lines.join('\n'))![1]!
}

const statusOf = async (url: string): Promise<number> => (await fetch(`${url}/health/ready`)).status

/** Registers a workflow of these stages, runs it, and answers with the id of the run once it has ended. */
async function runToItsEnd(api: string, stages: string): Promise<string> {
  const yaml = { 'content-type': 'application/yaml' }
  await fetch(`${api}/workflows/packing`, { method: 'PUT', headers: yaml, body: `name: packing\n${stages}\n` })
  const json = { 'content-type': 'application/json' }
  const body = JSON.stringify({ workflow: 'packing' })
  const started = await fetch(`${api}/executions`, { method: 'POST', headers: json, body })
  const { id } = (await started.json()) as { id: string }
  const state = async () => ((await (await fetch(`${api}/executions/${id}/state`)).json()) as { status: string }).status
  await vi.waitFor(async () => expect(await state()).toBe('completed'), { timeout: 10_000 })
  return id
}

describe('millrace start', () => {
  it('picks a port, drains on SIGTERM and ends with 0; a second program leaves it alone', async () => {
    const first = start()
    const url = await addressOf(first)
    expect(await statusOf(url)).toBe(200)

    const second = start()
    expect(await second.ended).toEqual({ code: 75, signal: null })
    expect(second.errors).toEqual([
      `millrace: ${data} is in use by another Millrace (process ${first.child.pid}); stop that one, or choose another folder with --data`,
    ])
    expect(await statusOf(url)).toBe(200)

    const elsewhere = join(data, 'elsewhere')
    const third = start('--data', elsewhere, '--port', new URL(url).port)
    expect(await third.ended).toEqual({ code: 75, signal: null })
    expect(third.errors).toHaveLength(1)
    expect(third.errors[0]).toContain(`port ${new URL(url).port}: another program listens there`)
    expect(await statusOf(url)).toBe(200)

    expect(await first.stop('SIGTERM')).toEqual({ code: 0, signal: null })
    expect(first.errors).toEqual([])
    expect(first.lines).toHaveLength(1)
  })

  it('starts again on the folder of one that was killed, and takes SIGINT as well', async () => {
    const killed = start()
    await addressOf(killed)
    await killed.stop('SIGKILL')
    const next = start()
    expect(await statusOf(await addressOf(next))).toBe(200)
    expect(await next.stop('SIGINT')).toEqual({ code: 0, signal: null })
    // Each line is JSON whose every member stands there once.
    expect(next.errors.join('\n')).toContain('stopped the PostgreSQL')
    for (const line of next.errors) expect(JSON.stringify(JSON.parse(line))).toBe(line)
  })

  it('removes at its start what a killed one left of attempts, and what is old of the work of runs', async () => {
    const killed = start()
    const api = `${await addressOf(killed)}/v1/default`
    const id = await runToItsEnd(api, "stages: { build: { uses: shell, with: { run: 'echo built > package' } } }")
    const [work, attempts] = [join(data, 'work', id), join(data, 'work/.attempts')]
    expect(readdirSync(work)).toEqual(['package'])
    mkdirSync(join(attempts, 'a-left'))
    await killed.stop('SIGKILL')
    const next = start()
    await addressOf(next)
    expect(existsSync(attempts)).toBe(false)
    await next.stop('SIGTERM')
    expect(readdirSync(work)).toEqual(['package'])
    const last = start('--keep-work-hours', '0')
    await addressOf(last)
    await vi.waitFor(() => expect(existsSync(work)).toBe(false), { timeout: 5_000 })
    expect(await last.stop('SIGTERM')).toEqual({ code: 0, signal: null })
  })

  it('drains when it is told to end while it starts', async () => {
    const program = start()
    await vi.waitFor(() => expect(existsSync(join(data, 'holder'))).toBe(true), { timeout: 30_000, interval: 5 })
    expect(program.lines).toEqual([])
    expect(await program.stop('SIGTERM')).toEqual({ code: 0, signal: null })
    const next = start()
    await addressOf(next)
    expect(await next.stop('SIGTERM')).toEqual({ code: 0, signal: null })
  })
})

describe('bin/millrace', () => {
  const bin = join(root, 'bin/millrace')

  it('says which version it is, and what it can do', async () => {
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
    const versioned = run(bin, ['--version'])
    expect(await versioned.ended).toEqual({ code: 0, signal: null })
    expect({ shown: versioned.lines, said: versioned.errors }).toEqual({ shown: [version], said: [] })
    const helped = run(bin, ['--help'])
    expect(await helped.ended).toEqual({ code: 0, signal: null })
    expect(helped.errors).toEqual([])
    for (const word of ['start', 'migrate', 'demo', '--version']) expect(helped.lines.join('\n')).toContain(` ${word}`)
  })

  it('ends as the program does', async () => {
    expect((await run(bin, ['strat']).ended).code).toBe(2)
    expect((await run(bin, ['start', '--port', 'x']).ended).code).toBe(78)
    expect((await run(bin, ['--help']).ended).code).toBe(0)
  })

  it.each(['SIGTERM', 'SIGINT'] as const)('passes %s on', async (signal) => {
    const program = run(bin, ['start', '--port', '0', '--data', data, '--log-level', 'warn'])
    const url = await addressOf(program)
    expect(await program.stop(signal)).toEqual({ code: 0, signal: null })
    await expect(fetch(url)).rejects.toThrow()
  })
})
