// A whole program for the commands that talk to one, on a database and a data folder that go when the suite is over.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll } from 'vitest'
import { startTestPostgres, type TestPostgres } from './postgres.ts'
import { endPrograms, type Program, runNode } from './programs.ts'

export const main = join(import.meta.dirname, '../../src/main.ts')

/** What a command of the program ended with, and said. */
export async function outcomeOf(command: string, ...args: string[]) {
  const program = runNode(main, [command, ...args])
  const { code } = await program.ended
  return { code, lines: program.lines, errors: program.errors }
}

/** For the suite in which it is called. */
export function servedProgram() {
  let postgres: TestPostgres
  const served = { database: '', data: '', start }
  beforeAll(async () => {
    postgres = await startTestPostgres()
    served.database = await postgres.createDatabase()
    served.data = mkdtempSync(join(tmpdir(), 'millrace-served-'))
  })
  afterEach(endPrograms)
  afterAll(async () => {
    await postgres.stop()
    rmSync(served.data, { recursive: true, force: true })
  })

  async function start(): Promise<{ program: Program; url: string }> {
    const { database, data } = served
    const args = ['start', '--port', '0', '--data', data, '--database', database, '--log-level', 'error']
    const program = runNode(main, args)
    await program.until((lines) => lines.some((line) => line.includes('listens on')))
    return { program, url: /listens on (\S+)/.exec(program.lines.join('\n'))![1]! }
  }
  return served
}
