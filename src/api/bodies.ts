// One way in for every body: JSON and YAML go through the same rules, and nothing else is read at all.
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { DocumentUnreadable, type ParsedDocument, parseDocument } from '../commands/parse-document.ts'
import type { Json } from '../domain/message.ts'
import { RequestProblem } from './problems.ts'

const formats: Readonly<Record<string, 'json' | 'yaml'>> = {
  'application/json': 'json',
  'application/yaml': 'yaml',
  'application/x-yaml': 'yaml',
  'text/yaml': 'yaml',
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Line (from 1) of what a JSON pointer leads to, where the body was YAML. */
    lineOf: ParsedDocument['lineOf'] | null
  }
}

export const bodyTypes: readonly string[] = Object.keys(formats)

/** Replaces the parsers that fastify brings, so that no content type slips past the rules. */
export function readBodies(server: FastifyInstance): void {
  server.decorateRequest('lineOf', null)
  server.removeAllContentTypeParsers()
  server.addContentTypeParser('*', { parseAs: 'buffer' }, (request, body, done) => {
    // An unknown route is answered as such, whatever was sent to it.
    if (request.is404) done(null, undefined)
    else done(null, read(request, body as Buffer))
  })
}

/** Undefined for a body of no bytes: whether one is needed is for the route to say. */
function read(request: FastifyRequest, body: Buffer): Json | undefined {
  if (body.length === 0) return undefined
  const format = formatOf(request.headers['content-type'])
  const encoding = request.headers['content-encoding'] ?? 'identity'
  if (format === undefined || encoding !== 'identity') {
    const detail = `a body is ${bodyTypes.join(', ')}, in UTF-8 and not compressed`
    throw new RequestProblem('CONTENT_TYPE_UNSUPPORTED', detail, { headers: { accept: bodyTypes.join(', ') } })
  }
  return parse(request, decode(body), format)
}

/** RFC 9110: type and parameter names are of any case, and a value may be quoted. */
function formatOf(contentType = ''): 'json' | 'yaml' | undefined {
  const [type = '', ...parameters] = contentType.toLowerCase().split(';')
  const charsets = parameters
    .map((parameter) => parameter.trim())
    .filter((parameter) => parameter.startsWith('charset'))
  if (charsets.some((charset) => !/^charset="?utf-?8"?$/.test(charset))) return undefined
  return Object.hasOwn(formats, type.trim()) ? formats[type.trim()] : undefined
}

const utf8 = new TextDecoder('utf-8', { fatal: true })

function decode(body: Buffer): string {
  try {
    return utf8.decode(body)
  } catch {
    throw new RequestProblem('BODY_MALFORMED', 'the body is not UTF-8')
  }
}

/** @throws RequestProblem 400 for JSON that cannot be read, 422 for YAML, which people write by hand, with its lines */
function parse(request: FastifyRequest, text: string, format: 'json' | 'yaml'): Json {
  try {
    const { value, lineOf } = parseDocument(text, format)
    if (format === 'yaml') request.lineOf = lineOf
    return value
  } catch (error) {
    if (!(error instanceof DocumentUnreadable)) throw error
    const code = format === 'yaml' ? 'DOCUMENT_MALFORMED' : 'BODY_MALFORMED'
    throw new RequestProblem(code, error.message, { faults: error.faults })
  }
}
