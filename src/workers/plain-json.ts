// What a handler hands over, as the plain JSON that can stand in the log for good.
import type { Json } from '../domain/message.ts'
import { StageFailure } from '../ports/handler.ts'
import { parseJsonDocument } from './handlers/json-document.ts'

/** Outputs, checkpoints and generated stages are parts of events, and every event is kept for ever. */
const MAX_BYTES = 262_144

/** `name` is the beginning of the codes, as in `OUTPUT_TOO_LARGE`; `advice` is what to do instead of handing over so much. */
export type HandedOver = {
  readonly name: 'OUTPUT' | 'CHECKPOINT' | 'GENERATED'
  readonly what: string
  readonly advice: string
}

/** A copy as of now. @throws StageFailure `…_INVALID` where it is not JSON, `…_TOO_LARGE` */
export function toPlainJson(value: unknown, { name, what, advice }: HandedOver): Json {
  let text: string | undefined
  let plain: Json
  try {
    text = JSON.stringify(value)
    if (text === undefined) throw new TypeError(`${typeof value} has no form in JSON`)
    plain = parseJsonDocument(text)
  } catch (error) {
    const message = `${what} is not plain JSON: ${String(error instanceof Error ? error.message : error).slice(0, 300)}`
    throw new StageFailure({ code: `${name}_INVALID`, message, retryable: false })
  }
  const bytes = Buffer.byteLength(text)
  if (bytes <= MAX_BYTES) return plain
  const message = `${what} has ${bytes} bytes, the limit is ${MAX_BYTES}; ${advice}`
  throw new StageFailure({ code: `${name}_TOO_LARGE`, message, retryable: false })
}
