import { spawn } from 'node:child_process'
import { join } from 'node:path'

const root = join(import.meta.dirname, '../..')
export type Ended = { readonly code: number | null; readonly out: string; readonly err: string }

/** Runs the command in a process of its own, to its end. */
export const startSimulate = (...given: string[]): Promise<Ended> => run(['test/simulation/main.ts', ...given])

/** The same, with a mistake in the program. */
export const startMutant = (name: string, ...given: string[]): Promise<Ended> =>
  run(['--import', './test/simulation/plant.ts', 'test/simulation/main.ts', '--mutant', name, ...given])

async function run(given: readonly string[]): Promise<Ended> {
  const child = spawn(process.execPath, given, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
  let [out, err] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text
  })
  const code = await new Promise<number | null>((resolve, reject) => child.on('error', reject).on('close', resolve))
  return { code, out, err }
}
