// An answer to GET has a tag that says what is in it, so that who asks again is told that nothing has changed instead.
import { createHash } from 'node:crypto'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'

const isAsked = ({ method }: FastifyRequest): boolean => method === 'GET' || method === 'HEAD'

/** Streams have none: what they are to hold is not known before they have been read. */
export function tagAnswers(server: FastifyInstance): void {
  server.addHook('onSend', async (request, reply, payload) => {
    if (!isAsked(request) || reply.statusCode !== 200) return payload
    // Whoever keeps an answer asks first whether it still holds.
    if (!reply.hasHeader('cache-control')) reply.header('cache-control', 'no-cache')
    const tag = tagOf(reply, payload)
    if (tag === undefined || !matches(request.headers['if-none-match'], tag)) return payload
    reply.code(304).removeHeader('content-type').removeHeader('content-length')
    return ''
  })
}

/** Weak, since what stands between may compress the answer. */
function tagOf(reply: FastifyReply, payload: unknown): string | undefined {
  const known = reply.getHeader('etag')
  if (typeof known === 'string') return known
  if (typeof payload !== 'string') return undefined
  const tag = `W/"${createHash('sha1').update(payload).digest('base64url')}"`
  reply.header('etag', tag)
  return tag
}

/** RFC 9110, 13.1.2: any of a list, compared weakly. */
function matches(asked: string | undefined, tag: string): boolean {
  if (asked === undefined) return false
  const opaque = tag.replace(/^W\//, '')
  return asked.split(',').some((one) => {
    const wanted = one.trim()
    return wanted === '*' || wanted.replace(/^W\//, '') === opaque
  })
}
