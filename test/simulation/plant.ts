// Plants a mistake in the program while it is loaded: `node --import ./test/simulation/plant.ts … --mutant NAME` changes the
// text of modules before their types are stripped. The text must be there exactly once, so that no mutant goes stale unseen.
import { readFileSync } from 'node:fs'
import { registerHooks } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type Edit, mutants } from './mutants.ts'

const at = process.argv.indexOf('--mutant')
const name = at < 0 ? undefined : process.argv[at + 1]
const mutant = mutants.find((one) => one.name === name)
if (mutant === undefined)
  throw new Error(`--mutant is one of ${mutants.map((one) => one.name).join(', ')}, not ${JSON.stringify(name)}`)

const edits = Map.groupBy(mutant.edits, ({ file }) => pathToFileURL(join(import.meta.dirname, '../..', file)).href)
const planted = new Map(
  [...edits].map(([url, wanted]) => [url, wanted.reduce(edited, readFileSync(new URL(url), 'utf8'))]),
)

registerHooks({
  load(url, context, nextLoad) {
    const source = planted.get(url)
    if (source === undefined) return nextLoad(url, context)
    return { format: 'module-typescript', source, shortCircuit: true }
  },
})

function edited(text: string, { file, find, replace }: Edit): string {
  const [before, after, ...more] = text.split(find)
  if (before === undefined || after === undefined || more.length > 0)
    throw new Error(
      `the mutant ${name} is stale: ${file} has the text ${more.length + 1 - Number(!after)} times: ${find}`,
    )
  return before + replace + after
}
