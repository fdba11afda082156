import type { z } from 'zod'
import type { Json } from '../domain/message.ts'
import type { Handler, StageContext } from '../ports/handler.ts'
import { parseInput } from './parse-input.ts'

export type HandlerDefinition<S extends z.ZodType> = {
  /** What a stage `uses`: lower case letters, digits and hyphens, at most 64. */
  readonly name: string
  /** Checks the stage's `with`; `run` gets what it yields. */
  readonly input: S
  /**
   * Runs one attempt; what it returns is the stage's output, plain JSON of at most 256 KiB. An error may say `code`,
   * `retryable` and `details`. Stop when `signal` aborts.
   */
  run(context: StageContext<z.output<S>>): Promise<Json | undefined> | Json | undefined
}

/** Makes a handler of its definition; export it as the default of a module and start Millrace with `--handlers <module>`. */
export function defineHandler<S extends z.ZodType>(definition: HandlerDefinition<S>): Handler {
  if (!/^[a-z][a-z0-9-]{0,63}$/.test(definition.name))
    throw new TypeError(
      `a handler's name is lower case letters, digits and hyphens, not ${JSON.stringify(definition.name)}`,
    )
  return {
    name: definition.name,
    parse: (input) => parseInput(definition.input, input),
    run: async (context) => definition.run({ ...context, input: parseInput(definition.input, context.input) }),
  }
}
