import type { App } from '../../app.ts'
import { classifyFailureBody } from '../../commands/classify-failure.ts'
import { classifiedSchema, json } from '../answers.ts'
import { namespaceParams } from '../parameters.ts'
import { route } from '../route.ts'

/** What rules must be like the command says, with a pointer for every fault. */
const body = classifyFailureBody.safeExtend({
  rules: json.optional().meta({ description: 'Rules as `failures` of /schemas/workflow.json describes them.' }),
})

export function failureRoutes({ commands }: App) {
  return {
    classify: route(
      {
        tag: 'Workflows',
        summary: 'Try an error against rules of failure',
        description:
          'The rules that are sent come first, then those of the workflow, then the built-in ones. Nothing is recorded.',
        params: namespaceParams,
        body,
        answers: { 200: classifiedSchema },
        errors: [409],
      },
      ({ caller, body }) => commands.classifyFailure(caller, body),
    ),
  }
}
