import type { z } from 'zod'
import type { Json } from '../domain/message.ts'
import { handlerNamePattern, handlerNameRule } from '../domain/workflow/handler-names.ts'
import type { Handler, StageContext } from '../ports/handler.ts'
import { parseInput } from './parse-input.ts'

export type HandlerDefinition<S extends z.ZodType> = {
  /** What a stage `uses`: at most 63 lower-case letters, digits and hyphens. */
  readonly name: string
  /** Which one it is, as workers show it: free text of at most 64 characters, such as `2.1.0` or a commit. */
  readonly version?: string
  /** Checks the stage's `with`; `run` gets what it yields. */
  readonly input: S
  /**
   * Runs one attempt; what it returns is the stage's output, plain JSON of at most 256 KiB. An error may say `code`,
   * `retryable` and `details`. Stop when `signal` aborts.
   */
  // biome-ignore lint/suspicious/noExplicitAny: what `resume` holds only the handler knows, which saved it; so JSON.parse has it.
  run(context: StageContext<z.output<S>, any>): Promise<Json | undefined> | Json | undefined
}

/** Makes a handler of its definition; export it as the default of a module and start Millrace with `--handlers <module>`. */
export function defineHandler<S extends z.ZodType>(definition: HandlerDefinition<S>): Handler {
  if (!handlerNamePattern.test(definition.name))
    throw new TypeError(`${handlerNameRule}, not ${JSON.stringify(definition.name)}`)
  return {
    name: definition.name,
    ...(definition.version === undefined ? {} : { version: definition.version }),
    run: async (context) => definition.run({ ...context, input: parseInput(definition.input, context.input) }),
  }
}
