// Descriptions of projects of every kind that the schema allows, for what generates workflows.
import fc from 'fast-check'
import { templates } from '../../src/domain/workflow/generate.ts'
import { projectSchema, targetNames } from '../../src/domain/workflow/project.ts'
import { commandNames, gates, languageNames, languages } from '../../src/domain/workflow/templates/languages.ts'

/** Every script that the templates bring. */
export const templateScripts: readonly string[] = [
  ...templates
    .map(({ stage }) => (stage.with as { run?: string }).run ?? '<none>')
    .filter((run) => !/^<[a-z-]+>$/.test(run)),
  ...languageNames.flatMap((name) => [languages[name].toolchain, ...Object.values(languages[name].commands)]),
]

const optional = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined, freq: 2 })
const names = fc.stringMatching(/^[a-z][a-z0-9-]{0,31}$/)
/** Whatever a person or a program might write, with what scripts, YAML and templates would trip over. */
const texts = fc.oneof(
  fc.string({ minLength: 1, maxLength: 60, unit: 'grapheme' }),
  fc.string({ minLength: 1, maxLength: 60, unit: 'binary' }),
  fc.constantFrom(
    '<cwd>',
    '<prepare>',
    'true\n',
    ' a:\n\n  - b\t\n',
    '"',
    '# no',
    '- x',
    'null',
    '0o17',
    'a: b',
    '|',
    '$(x)',
    '${{ input.a }}',
    '%',
  ),
)
const folders = fc.stringMatching(/^[\w][\w.-]{0,8}(\/[\w][\w.-]{0,8}){0,2}$/)
const urls = fc.webUrl({ withQueryParameters: true, withFragments: true })
const durations = fc.constantFrom('500ms', '10s', '1.5h', '4h', '2d')

type Node = { [key: PropertyKey]: Node }

/** Without what the schema refuses, one thing after the other: nearly nothing that is made up at random is free of it. */
function allowed(description: object): object {
  for (;;) {
    const path = projectSchema.safeParse(description).error?.issues.at(-1)?.path
    if (!path) return description
    remove(description as Node, path)
  }
}

/** What is missing takes with it what it is missing from. */
function remove(from: Node, path: readonly PropertyKey[]): void {
  const around = path.slice(0, -1).reduce((node, key) => node[key]!, from)
  const last = path.at(-1)
  if (last === undefined) throw new Error('nothing of it is allowed')
  if (Array.isArray(around)) around.splice(Number(last), 1)
  else if (last in around) delete around[last]
  else remove(from, path.slice(0, -1))
}

const withoutUndefined = (value: object) => JSON.parse(JSON.stringify(value)) as object

const components = fc.oneof(
  fc.constantFrom(...languageNames),
  fc.record({
    language: fc.constantFrom(...languageNames),
    name: optional(names),
    path: optional(folders),
    version: optional(fc.constantFrom('22', '3.12', '1.22.4')),
    commands: optional(fc.dictionary(fc.constantFrom(...commandNames), texts, { maxKeys: 4 })),
  }),
)

const approvals = fc.record({
  approvers: fc.array(fc.constantFrom('ops', 'ada@example.com', 'On-Call'), { minLength: 1, maxLength: 3 }),
  timeout: optional(durations),
})

const environmentsOf = (approval: fc.Arbitrary<unknown>) =>
  fc.array(
    fc.record({
      name: names,
      command: optional(texts),
      approval: optional(approval),
      settle: optional(durations),
      url: optional(urls),
    }),
    { maxLength: 5 },
  )

/** @param approving whether environments may ask for approval */
export const descriptions = ({ approving }: { approving: boolean }): fc.Arbitrary<object> =>
  fc
    .record({
      name: fc.stringMatching(/^[a-z][a-z0-9_-]{0,62}$/),
      description: optional(texts),
      source: optional(fc.constantFrom('folder', 'git')),
      languages: fc.array(components, { minLength: 1, maxLength: 8 }),
      gates: optional(fc.uniqueArray(fc.constantFrom(...gates))),
      minimumCoverage: optional(fc.integer({ min: 0, max: 100 })),
      targets: optional(fc.uniqueArray(fc.constantFrom(...targetNames))),
      environments: optional(environmentsOf(approving ? approvals : fc.constant(undefined))),
      notify: optional(fc.record({ url: urls })),
    })
    .map((description) => allowed(withoutUndefined(description)))
