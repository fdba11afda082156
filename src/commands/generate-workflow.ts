import { type Generated, generateWorkflow as generate } from '../domain/workflow/generate.ts'
import type { Project } from '../domain/workflow/project.ts'
import { describeWorkflow, type WorkflowDescription } from './describe-workflow.ts'
import { writeYaml } from './write-yaml.ts'

/** A definition that passed every check a registration has; `summary` is the shape of its graph. */
export type GeneratedWorkflow = Generated & { readonly yaml: string; readonly summary: WorkflowDescription }

/** @throws Rejected DEFINITION_INVALID where the description asks for what nothing runs yet */
export function generateWorkflow(project: Project): GeneratedWorkflow {
  const generated = generate(project)
  return { ...generated, yaml: writeYaml(generated.document), summary: describeWorkflow(generated.document) }
}
