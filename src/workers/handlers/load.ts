// Brings in the handlers that a user wrote.
import { existsSync } from 'node:fs'
import { isAbsolute, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Json } from '../../domain/message.ts'
import { handlerNamePattern, handlerNameRule, reservedHandlerNames } from '../../domain/workflow/handler-names.ts'
import { type Handler, StageFailure } from '../../ports/handler.ts'
import { parseJsonDocument } from './json-document.ts'

const OUTPUT_LIMIT_BYTES = 256 * 1024

/** A module of `--handlers` gives none; `message` is one line that names it and what is wrong. */
export class HandlersUnusable extends Error {
  constructor(message: string, options: ErrorOptions) {
    super(message, options)
    this.name = 'HandlersUnusable'
  }
}

/**
 * Imports each module, given as a path or as the name of a package, whose default export is a handler or a list of
 * them.
 * @throws HandlersUnusable
 */
export async function loadHandlers(modules: readonly string[]): Promise<readonly Handler[]> {
  const loaded: Handler[] = []
  const origins = new Map<string, string>()
  for (const module of modules) {
    const exported = await importDefault(module)
    for (const handler of Array.isArray(exported) ? exported : [exported]) {
      assertHandler(module, handler)
      if (reservedHandlerNames.includes(handler.name))
        throw fault(module, `the name "${handler.name}" belongs to a built-in handler`)
      const earlier = origins.get(handler.name)
      if (earlier !== undefined) throw fault(module, `"${earlier}" has a handler named "${handler.name}" already`)
      origins.set(handler.name, module)
      loaded.push(withPlainOutput(handler))
    }
  }
  return loaded
}

async function importDefault(module: string): Promise<unknown> {
  const path = resolve(module)
  const isPath = module.startsWith('.') || isAbsolute(module) || existsSync(path)
  if (isPath && !existsSync(path)) throw fault(module, 'there is no such file')
  try {
    const namespace = (await import(isPath ? pathToFileURL(path).href : module)) as { default?: unknown }
    return namespace.default
  } catch (error) {
    throw fault(module, firstLine(error), error)
  }
}

function assertHandler(module: string, candidate: unknown): asserts candidate is Handler {
  const { name, run, version } = (candidate ?? {}) as Partial<Record<keyof Handler, unknown>>
  if (typeof run !== 'function')
    throw fault(module, 'its default export is neither a handler (see defineHandler) nor a list of handlers')
  if (typeof name !== 'string' || !handlerNamePattern.test(name))
    throw fault(module, `a handler needs a name: ${handlerNameRule}`)
  if (version !== undefined && !(typeof version === 'string' && version.length > 0 && version.length <= 64))
    throw fault(module, `the version of "${name}" is not a text of 1 to 64 characters`)
}

/** The log keeps outputs for good, so what isn't plain JSON stops here and not in a reader years later. */
function withPlainOutput(handler: Handler): Handler {
  return {
    name: handler.name,
    ...(handler.version === undefined ? {} : { version: handler.version }),
    run: async (context) => plainOutput(await handler.run(context)),
  }
}

function plainOutput(output: unknown): Json {
  let text: string
  let plain: Json
  try {
    text = JSON.stringify(output) ?? 'null'
    plain = parseJsonDocument(text)
  } catch (error) {
    const message = `the output is not plain JSON: ${firstLine(error)}`
    throw new StageFailure({ code: 'OUTPUT_INVALID', message, retryable: false })
  }
  if (Buffer.byteLength(text) > OUTPUT_LIMIT_BYTES)
    throw new StageFailure({
      code: 'OUTPUT_TOO_LARGE',
      message: `the output is larger than ${OUTPUT_LIMIT_BYTES} bytes`,
      retryable: false,
    })
  return plain
}

const fault = (module: string, what: string, cause?: unknown): Error =>
  new HandlersUnusable(`handlers from "${module}": ${what}`, cause === undefined ? {} : { cause })

const firstLine = (error: unknown): string => String(error instanceof Error ? error.message : error).split('\n', 1)[0]!
