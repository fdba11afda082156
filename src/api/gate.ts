// What every request passes before anything is spent on it.
import type { FastifyInstance } from 'fastify'
import { RequestProblem } from './problems.ts'

const loopbackNames = new Set(['localhost', '127.0.0.1', '[::1]'])

/** @param host a name besides those of the loopback interface that requests may ask for */
export function guardRequests(server: FastifyInstance, host = 'localhost'): void {
  const names = new Set([...loopbackNames, host.toLowerCase()])
  let closing = false
  server.addHook('preClose', async () => {
    closing = true
  })
  server.addHook('onRequest', async (request) => {
    if (closing) {
      const headers = { connection: 'close', 'retry-after': '1' }
      throw new RequestProblem('UNAVAILABLE', 'the server is shutting down', { headers })
    }
    checkHost(request.headers.host, names)
    if (request.method !== 'GET' && request.method !== 'HEAD') checkOrigin(request.headers.origin, names)
    checkQuery(request.url)
  })
}

/** A page of the web whose name was made to point here (DNS rebinding) still sends its own name. */
function checkHost(header: string | undefined, names: ReadonlySet<string>): void {
  if (header === undefined) throw new RequestProblem('REQUEST_INVALID', 'the Host header is missing')
  const name = header.replace(/:\d{1,5}$/, '').toLowerCase()
  if (!names.has(name)) throw new RequestProblem('HOST_UNKNOWN', 'this server does not answer for that host')
}

/** Browsers say on whose behalf they send a command. A page from elsewhere may not give any, though it cannot read the answer. */
function checkOrigin(origin: string | undefined, names: ReadonlySet<string>): void {
  if (origin === undefined || (URL.canParse(origin) && names.has(new URL(origin).hostname))) return
  throw new RequestProblem('ORIGIN_REFUSED', 'pages of other origins may not send commands')
}

/** Paths are checked by the router; the parser of queries forgives what it cannot decode. */
function checkQuery(url: string): void {
  const at = url.indexOf('?')
  if (at < 0 || !url.includes('%', at)) return
  try {
    if (!decodeURIComponent(url.slice(at)).includes('\0')) return
  } catch {
    throw new RequestProblem('REQUEST_INVALID', 'the query is not percent-encoded UTF-8')
  }
  throw new RequestProblem('REQUEST_INVALID', 'the query holds a NUL character')
}
