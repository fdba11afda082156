// What a project is described by, for a workflow to be generated. Everything is bounded, and whatever the caller writes
// becomes a whole value: a script, a variable, a folder. Nothing of it is put into another text.
import * as z from 'zod'
import { namePattern } from './schema.ts'
import { type CommandName, commandNames, commandsOf, gates, languageNames, languages } from './templates/languages.ts'
import { parseDurationMs } from './units.ts'

export const targetNames = ['package', 'container', 'archive', 'static-site'] as const

/** Text that YAML and scripts hold as it is; an expression would be evaluated where it lands, and is for nobody to slip in. */
const text = (max: number) =>
  z
    .string()
    .max(max)
    .regex(
      /^[\t\n\x20-\x7e\u00a0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\u{10000}-\u{10ffff}]*$/u,
      'holds characters that are no text',
    )
    .refine((value) => !value.includes('${{'), 'an expression in ${{ }} cannot stand here')
/** Bounded so that as many of them as there can be still fit into one registration. */
const command = text(2_048).regex(/\S/, 'a command is not blank')

const shortName = z
  .string()
  .regex(
    /^[a-z][a-z0-9-]{0,31}$/,
    'starts with a lower-case letter and has at most 32 lower-case letters, digits, hyphens',
  )
const folder = z
  .string()
  .max(256)
  .regex(/^\w[\w.-]*(\/\w[\w.-]*)*$/, 'expected a folder of the project such as packages/api')
  .meta({ description: 'A folder inside the project; the project itself where it is left out.' })
const url = text(2_048)
  .pipe(z.url({ protocol: /^https?$/, error: 'expected an address with http or https' }))
  .meta({ examples: ['https://shop.example.com/health'] })
const duration = z
  .string()
  .refine((value) => (parseDurationMs(value) ?? 0) > 0, 'expected a duration such as 500ms, 10s, 5m, 2h or 1d')

/** `'node'` stands for `{ language: 'node' }`. */
const orNamed = <T extends z.ZodType>(member: string, schema: T) =>
  z.preprocess((value) => (typeof value === 'string' ? { [member]: value } : value), schema)

const component = z
  .strictObject({
    language: z.enum(languageNames),
    name: shortName.optional().meta({ description: 'Ends the ids of its stages; the language where it is left out.' }),
    path: folder.optional(),
    version: z
      .string()
      .regex(/^\d{1,4}(\.\d{1,4}){0,2}$/, 'expected a version such as "22" or "3.12"')
      .optional()
      .meta({ description: 'What the version of the language has to begin with on the worker.' }),
    commands: z.strictObject(optionalCommands()).default({}),
  })
  .transform((given) => ({ ...given, name: given.name ?? given.language }))

function optionalCommands() {
  const entries = commandNames.map((name) => [name, command.optional()] as const)
  return Object.fromEntries(entries) as { [name in CommandName]: z.ZodOptional<typeof command> }
}

const environment = z.strictObject({
  name: shortName,
  command: command.default('bash scripts/deploy.sh').meta({ description: 'A script, run in the project.' }),
  approval: z
    .strictObject({
      approvers: z
        .array(z.string().regex(/^[A-Za-z0-9][\w.@-]{0,62}$/, 'expected the name of a person or a group'))
        .min(1)
        .max(20),
      timeout: duration.default('4h'),
    })
    .optional(),
  settle: duration.optional().meta({ description: 'How long to wait after deploying.' }),
  url: url.optional().meta({ description: 'Answers with success once the deployment works.' }),
})

const different = (values: readonly unknown[]): boolean => new Set(values).size === values.length

const shape = z.strictObject({
  name: z.string().regex(namePattern, 'not the name of a workflow'),
  description: text(2_048).optional(),
  source: z.enum(['folder', 'git']).default('folder').meta({ description: 'What a run is given to start from.' }),
  languages: z
    .array(orNamed('language', component))
    .min(1)
    .max(8)
    .meta({ description: 'The parts of the project; the name of a language stands for `{ language }`.' }),
  gates: z
    .array(z.enum(gates))
    .max(gates.length)
    .refine(different, 'a gate stands here twice')
    .default(['lint', 'unit-tests']),
  minimumCoverage: z.int().min(0).max(100).optional().meta({ description: 'Per cent of lines; 80 if left out.' }),
  targets: z
    .array(orNamed('target', z.strictObject({ target: z.enum(targetNames), path: folder.optional() })))
    .max(targetNames.length)
    .refine((targets) => different(targets.map(({ target }) => target)), 'a target stands here twice')
    .default([])
    .meta({ description: 'What is made of it; the name of a target stands for `{ target }`.' }),
  environments: z.array(environment).max(5).default([]).meta({ description: 'Where it goes, one after the other.' }),
  notify: z.strictObject({ url }).optional().meta({ description: 'Gets a POST with how the run went.' }),
})
type Shape = z.output<typeof shape>

type Finding = { readonly path: readonly (string | number)[]; readonly message: string }

/** A description of a project, with every default filled in. */
export const projectSchema = shape
  .superRefine((project, context) => {
    for (const { path, message } of findings(project)) context.addIssue({ code: 'custom', path: [...path], message })
  })
  .meta({ description: 'A project: what it is written in, what is made of it, where it goes and what it must pass.' })
export type Project = z.output<typeof projectSchema>
export type Component = Project['languages'][number]

/** What does not fit together. A part that led to nothing would surprise, so it is refused. */
function* findings(project: Shape): Generator<Finding> {
  yield* repeats(project)
  yield* unwantedCommands(project)
  for (const [at, gate] of project.gates.entries())
    if (!project.languages.some((given) => commandFor(given, gate)))
      yield { path: ['gates', at], message: `no language here has a command for ${gate}; give one in its \`commands\`` }
  for (const [at, { target, path }] of project.targets.entries()) {
    if (target !== 'package') continue
    if (path !== undefined)
      yield { path: ['targets', at, 'path'], message: 'packages are made where the languages are' }
    if (!project.languages.some((given) => commandFor(given, 'package')))
      yield { path: ['targets', at], message: 'no language here has a command for it; give one in its `commands`' }
  }
  if (project.minimumCoverage !== undefined && !project.gates.includes('coverage'))
    yield { path: ['minimumCoverage'], message: '`coverage` is not one of the gates' }
}

function* repeats({ languages: parts, environments }: Shape): Generator<Finding> {
  for (const [at, { name, language, path }] of parts.entries()) {
    const before = parts.slice(0, at)
    if (before.some((other) => other.name === name))
      yield { path: ['languages', at], message: `there are two parts called ${name}; give each a \`name\`` }
    const { tool } = languages[language]
    if (before.some((other) => languages[other.language].tool === tool && other.path === path))
      yield { path: ['languages', at], message: `${tool} would work twice in one folder; give each a \`path\`` }
  }
  for (const [at, { name }] of environments.entries())
    if (environments.slice(0, at).some((other) => other.name === name))
      yield { path: ['environments', at, 'name'], message: `there are two environments called ${name}` }
}

function* unwantedCommands(project: Shape): Generator<Finding> {
  for (const [at, { commands }] of project.languages.entries())
    for (const name of commandNames)
      if (commands[name] !== undefined && !wants(project, name))
        yield { path: ['languages', at, 'commands', name], message: `${name} is not among the gates or targets` }
}

/** Whether there is to be a stage for it at all. */
export function wants({ gates: wanted, targets }: Shape, name: CommandName): boolean {
  if (name === 'prepare' || name === 'build') return true
  if (name === 'package') return targets.some(({ target }) => target === 'package')
  return wanted.includes(name)
}

/** The caller's own command, or the one of the language. */
export const commandFor = ({ language, commands }: Component, name: CommandName): string | undefined =>
  commands[name] ?? commandsOf(language)[name]
