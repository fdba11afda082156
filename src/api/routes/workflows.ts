import { z } from 'zod'
import type { App } from '../../app.ts'
import { describeWorkflow } from '../../commands/describe-workflow.ts'
import { generateWorkflow } from '../../commands/generate-workflow.ts'
import { retireWorkflowBody } from '../../commands/register-workflow.ts'
import type { Json } from '../../domain/message.ts'
import { projectSchema } from '../../domain/workflow/project.ts'
import {
  descriptionSchema,
  generatedSchema,
  registeredSchema,
  retiredSchema,
  toWorkflows,
  workflowSchema,
  workflowsSchema,
  workflowVersionsSchema,
} from '../answers.ts'
import { awaitPosition } from '../freshness.ts'
import {
  freshQuery,
  namespaceParams,
  pageQuery,
  versionHeaders,
  workflowParams,
  workflowsQuery,
} from '../parameters.ts'
import { found, pageOf, route } from '../route.ts'

const tag = 'Workflows'

/** What it must be like the command says, with a pointer for every fault. */
const document = z.custom<Json>().meta({ description: 'A workflow, as /schemas/workflow.json describes it.' })

export function workflowRoutes({ commands, queries }: App) {
  return {
    register: route(
      {
        tag,
        summary: 'Register a workflow, or revise it',
        description: 'Answers 201 with the new version, 200 where the document is the newest version already.',
        params: workflowParams,
        headers: versionHeaders,
        body: document,
        answers: { 201: registeredSchema, 200: registeredSchema },
        errors: [412],
      },
      async ({ caller, params, headers, body, reply }) => {
        const registered = await commands.workflows.register(caller, params.name, body, headers['if-match'])
        const { name, version, changed, position } = registered
        reply.code(changed ? 201 : 200).header('etag', `"${version}"`)
        return { name, version, position: String(position) }
      },
    ),

    retire: route(
      {
        tag,
        summary: 'Retire a workflow: no more runs start, those there go on',
        params: workflowParams,
        body: retireWorkflowBody,
        bodyOptional: true,
        answers: { 200: retiredSchema },
      },
      async ({ caller, params, body }) => {
        const { name, position } = await commands.workflows.retire(caller, params.name, body)
        return { name, position: String(position) }
      },
    ),

    validate: route(
      {
        tag,
        summary: 'Check a workflow and describe its graph without saving it',
        params: namespaceParams,
        body: document,
        answers: { 200: descriptionSchema },
      },
      ({ body }) => describeWorkflow(body),
    ),

    generate: route(
      {
        tag,
        summary: 'Generate a workflow for a described project without saving it',
        description: 'The answer explains every stage; its document, or its YAML, is ready to be registered.',
        params: namespaceParams,
        body: projectSchema,
        answers: { 200: generatedSchema },
      },
      ({ body }) => generateWorkflow(body),
    ),

    list: route(
      {
        tag,
        summary: 'List the workflows',
        params: namespaceParams,
        query: workflowsQuery,
        answers: { 200: workflowsSchema },
      },
      async ({ params, query }) => {
        await awaitPosition(queries, query, ['workflows'])
        return toWorkflows(await queries.workflows(params.namespace, pageOf(query), query.sort))
      },
    ),

    one: route(
      {
        tag,
        summary: 'The newest version of a workflow',
        params: workflowParams,
        query: freshQuery,
        answers: { 200: workflowSchema },
      },
      async ({ params: { namespace, name }, query, reply }) => {
        await awaitPosition(queries, query, ['workflows'])
        const view = found(await queries.workflow(namespace, name), 'WORKFLOW_UNKNOWN', `workflow ${name}`)
        reply.header('etag', `"${view.version}"`)
        return view
      },
    ),

    versions: route(
      {
        tag,
        summary: 'The versions of a workflow',
        params: workflowParams,
        query: pageQuery,
        answers: { 200: workflowVersionsSchema },
      },
      async ({ params: { namespace, name }, query }) => {
        await awaitPosition(queries, query, ['workflows'])
        const versions = await queries.workflowVersions(namespace, name, pageOf(query))
        return found(versions, 'WORKFLOW_UNKNOWN', `workflow ${name}`)
      },
    ),
  }
}
