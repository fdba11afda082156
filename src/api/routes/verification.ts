import { Readable } from 'node:stream'
import { z } from 'zod'
import type { App } from '../../app.ts'
import { route } from '../route.ts'
import { NDJSON } from '../streams.ts'
import { toVerificationLine, verificationSchema } from '../verification-answers.ts'

const body = z.strictObject({
  repair: z.boolean().default(false).meta({ description: 'Make what has drifted anew, then look again.' }),
  readModels: z.boolean().default(true).meta({ description: 'Compare the read models, which costs most of the time.' }),
})

export function verificationRoutes({ verification, audit }: App) {
  return {
    verify: route(
      {
        tag: 'Operations',
        summary: 'Hold the log against its promises, and the read models and open work against the log',
        description:
          'Work goes on meanwhile. A line of JSON at least every second tells how far it is; the last one is the result. To close the connection ends it.',
        body,
        bodyOptional: true,
        answers: { 200: verificationSchema },
        produces: NDJSON,
        errors: [409],
      },
      async ({ body, reply, caller }) => {
        if (body.repair) await audit.performed(caller, 'what has drifted')
        const lines = verification.lines(body)
        // Before the answer begins, so that a refusal is one.
        const first = await lines.next()
        async function* told() {
          for (let line = first; !line.done; line = await lines.next())
            yield `${JSON.stringify(toVerificationLine(line.value))}\n`
        }
        reply.type(NDJSON)
        const answer = Readable.from(told(), { objectMode: false })
        // Also where the client has left before the first line was sent.
        answer.once('close', () => void lines.return(undefined))
        return answer
      },
    ),
  }
}
