// A workflow for a described project, put together from templates. Pure: the same description gives the same document.
import type { Json } from '../message.ts'
import { type Component, commandFor, type Project, wants } from './project.ts'
import { checkouts } from './templates/checkouts.ts'
import { components } from './templates/components.ts'
import { deliveries } from './templates/deliveries.ts'
import { commandNames, languages } from './templates/languages.ts'
import { targets } from './templates/targets.ts'
import { fillStage, fillText, type Phase, type Template, type Values } from './templates/template.ts'

export const templates: readonly Template[] = [...checkouts, ...components, ...targets, ...deliveries]

type Explanation = {
  readonly stage: string
  readonly template: string
  readonly phase: Phase
  readonly why: string
}

/** A stage that was asked for and that nothing is known for. */
type Omission = { readonly stage: string; readonly why: string }

export type Generated = {
  readonly document: { [member: string]: Json }
  /** One for each stage, in the order of the document. */
  readonly explanations: readonly Explanation[]
  readonly omissions: readonly Omission[]
}

/** What a template is filled for. */
type Scope = { readonly of: Template['of']; readonly component?: string; readonly values: Values }
type Step = { readonly phase: Phase; readonly scopes: readonly Scope[] }
type Made = {
  readonly id: string
  readonly template: Template
  readonly component?: string
  readonly needs: readonly string[]
  readonly why: string
  readonly stage: Template['stage']
}

const beforeDelivery: readonly Phase[] = ['checkout', 'toolchain', 'prepare', 'build', 'gate', 'package']
const ofEnvironments: readonly Phase[] = ['approve', 'deploy', 'settle', 'verify']

export function generateWorkflow(project: Project): Generated {
  const made: Made[] = []
  for (const step of stepsOf(project)) made.push(...stagesOf(step, made))
  const stages = made.map(({ id, needs, why, stage: { uses, ...rest } }) => [
    id,
    { uses, description: why, ...(needs.length > 0 ? { needs: [...needs] } : {}), ...rest },
  ])
  return {
    document: {
      name: project.name,
      ...(project.description === undefined ? {} : { description: project.description }),
      input: inputOf(made),
      stages: Object.fromEntries(stages),
    },
    explanations: made.map(({ id, template, why }) => ({
      stage: id,
      template: template.name,
      phase: template.phase,
      why,
    })),
    omissions: omissionsOf(project),
  }
}

/** Everything at once that can go at once; environments come one after the other. */
function stepsOf(project: Project): readonly Step[] {
  const whole: Scope = { of: 'project', values: valuesOfProject(project) }
  const parts = project.languages.map(
    (part): Scope => ({ of: 'component', component: part.name, values: valuesOfComponent(project, part) }),
  )
  const environments = project.environments.map(
    (place): Scope => ({ of: 'environment', values: valuesOfEnvironment(place) }),
  )
  return [
    ...beforeDelivery.map((phase) => ({ phase, scopes: [whole, ...parts] })),
    ...environments.flatMap((scope) => ofEnvironments.map((phase) => ({ phase, scopes: [scope] }))),
    { phase: 'notify', scopes: [whole] },
  ]
}

function stagesOf({ phase, scopes }: Step, before: readonly Made[]): readonly Made[] {
  const ofPhase = templates.filter((template) => template.phase === phase)
  return ofPhase.flatMap((template) =>
    scopes
      .filter(({ of }) => of === template.of)
      .flatMap((scope): readonly Made[] => {
        const values = { ...scope.values, ...valuesOfStages(scope, before) }
        const stage = fillStage(template, values)
        if (stage === undefined) return []
        const about = { id: fillText(template.id, values), why: fillText(template.why, values) }
        const owner = scope.component === undefined ? {} : { component: scope.component }
        return [{ ...about, ...owner, template, needs: needsOf(scope, before), stage }]
      }),
  )
}

/** A component goes on from its own last stages, or from the checkout; the project and its environments from all last ones. */
function needsOf({ component }: Scope, before: readonly Made[]): readonly string[] {
  const last = lastOf(before)
  if (component === undefined) return last.map(({ id }) => id)
  const own = last.filter((made) => made.component === component)
  return (own.length > 0 ? own : before.filter(({ template }) => template.phase === 'checkout')).map(({ id }) => id)
}

/** What no other stage needs yet. */
function lastOf(made: readonly Made[]): readonly Made[] {
  const needed = new Set(made.flatMap(({ needs }) => needs))
  return made.filter(({ id }) => !needed.has(id))
}

function valuesOfProject({ name, source, targets: wanted, notify }: Project): Values {
  const from: Values =
    source === 'folder'
      ? { folder: '${{ input.source }}' }
      : { repository: '${{ input.repository }}', ref: "${{ has(input.ref) ? input.ref : 'HEAD' }}" }
  const folders = Object.fromEntries(wanted.map(({ target, path = '.' }) => [target, path]))
  return { workflow: name, ...from, ...folders, 'notify-url': notify?.url }
}

function valuesOfComponent(project: Project, part: Component): Values {
  const { language, name, path, version } = part
  const commands = commandNames.map((command) => [
    command,
    wants(project, command) ? commandFor(part, command) : undefined,
  ])
  return {
    component: name,
    language,
    cwd: path === undefined ? 'project' : `project/${path}`,
    version,
    toolchain: languages[language].toolchain,
    minimum: project.minimumCoverage ?? 80,
    ...Object.fromEntries(commands),
  }
}

const valuesOfEnvironment = ({ name, command, approval, settle, url }: Project['environments'][number]): Values => ({
  environment: name,
  deploy: command,
  approvers: approval && [...approval.approvers],
  'approval-timeout': approval?.timeout,
  settle,
  url,
})

/** What later stages learn from earlier ones: deployments what was packed, the report how the last stages ended. */
function valuesOfStages({ values }: Scope, before: readonly Made[]): Values {
  const artifacts = before.flatMap(({ id, template }) =>
    Object.entries(template.provides ?? {}).map(([name, member]) => [name, `\${{ stages.${id}.output.${member} }}`]),
  )
  const statuses = lastOf(before).map(({ id }) => [id, `\${{ stages['${id}'].status }}`])
  return {
    'deploy-env': { ENVIRONMENT: values.environment ?? null, ...Object.fromEntries(artifacts) },
    report: {
      workflow: '${{ execution.workflow }}',
      version: '${{ execution.version }}',
      execution: '${{ execution.id }}',
      stages: Object.fromEntries(statuses),
    },
  }
}

function inputOf(made: readonly Made[]): Json {
  const inputs = made.flatMap(({ template: { input } }) => (input ? [input] : []))
  return {
    type: 'object',
    required: inputs.flatMap(({ required }) => [...required]),
    additionalProperties: false,
    properties: Object.assign({}, ...inputs.map(({ properties }) => properties)) as { [member: string]: Json },
  }
}

function omissionsOf(project: Project): readonly Omission[] {
  const optional = commandNames.filter((name) => name !== 'prepare' && name !== 'build' && wants(project, name))
  return optional.flatMap((name) =>
    project.languages
      .filter((part) => commandFor(part, name) === undefined)
      .map((part) => ({
        stage: `${name}-${part.name}`,
        why: `No command is known for ${name} of ${part.language}; one can be given in \`commands\` of ${part.name}.`,
      })),
  )
}
