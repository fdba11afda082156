// What the demo leaves behind: nothing, unless somebody wants to look at it.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { endPrograms, type Program, runNode } from '../support/programs.ts'

const main = join(import.meta.dirname, '../../src/main.ts')

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-of-demo-'))
})
afterEach(async () => {
  await endPrograms()
  rmSync(folder, { recursive: true, force: true })
})

const demo = (args: readonly string[] = [], variables: Record<string, string> = {}): Program =>
  runNode(main, ['demo', ...args], { env: { ...process.env, TMPDIR: folder, ...variables } })

const left = (): string[] => readdirSync(folder).filter((name) => name.startsWith('millrace-demo-'))

/** The folder of a log, as the line says it that has `words` in front. */
function logAfter(words: string, { lines }: Program): string {
  const line = lines.find((one) => one.includes(words)) ?? ''
  return line.slice(line.indexOf(words) + words.length).split(/[ ;]|\.$/)[0]!
}

describe('millrace demo', () => {
  it('shows the run, its history and where everything is, and then removes its folder', async () => {
    const program = demo()
    expect(await program.ended).toEqual({ code: 0, signal: null })
    expect(program.errors).toEqual([])
    const said = program.lines.join('\n')
    expect(said).toMatch(/The run \S+ is completed/)
    expect(said).toMatch(/\d+ {2}\S+ {2}ExecutionCompleted/)
    expect(said).toMatch(/listens on http:\S+; its API is described at http:\S+\/docs/)
    const log = logAfter('The log is in ', program)
    expect(log.startsWith(join(folder, 'millrace-demo-'))).toBe(true)
    expect(program.lines.slice(-2)).toEqual([
      `The log was in ${log} and is removed. To keep it and look around:`,
      '  npm run demo -- --keep',
    ])
    expect(left()).toEqual([])
  })

  it('keeps its folder when asked to, and says how to look around', async () => {
    const program = demo(['--keep'])
    expect(await program.ended).toEqual({ code: 0, signal: null })
    const [kept] = left()
    expect(program.lines.at(-1)).toBe(`  npm start -- --data ${join(folder, kept!)}`)
    expect(existsSync(join(folder, kept!, 'log'))).toBe(true)
  })

  it('keeps its folder when the run fails', async () => {
    const broken = join(folder, 'broken')
    mkdirSync(broken)
    writeFileSync(join(broken, 'bash'), '#!/bin/sh\nexit 3\n', { mode: 0o755 })
    const program = demo([], { PATH: `${broken}:${process.env.PATH}` })
    expect(await program.ended).toEqual({ code: 1, signal: null })
    expect(program.lines.join('\n')).toMatch(/The run \S+ is failed/)
    expect(left()).toHaveLength(1)
  })

  it('ends its program and removes its folder when it is broken off', async () => {
    const program = demo()
    await program.until((lines) => lines.some((line) => line.includes('listens on')))
    const url = /listens on (\S+);/.exec(program.lines.join('\n'))![1]!
    expect(await program.stop('SIGTERM')).toEqual({ code: 143, signal: null })
    await expect(fetch(url)).rejects.toThrow()
    expect(left()).toEqual([])
  })
})
