// What no route answers: 405 with Allow where another method would have been answered, else 404.
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { RequestProblem } from './problems.ts'

type Known = { readonly path: RegExp; readonly methods: string[] }

/** To be called before the routes are added, whose methods and paths it collects. */
export function createUnknownRoute(server: FastifyInstance): (request: FastifyRequest) => Promise<never> {
  const known = new Map<string, Known>()
  server.addHook('onRoute', ({ method, url }) => {
    const pattern = new RegExp(`^${url.replaceAll('.', '\\.').replace(/:[a-z]+/gi, '[^/]+')}$`)
    const entry = known.get(url) ?? { path: pattern, methods: [] }
    entry.methods.push(...[method].flat())
    known.set(url, entry)
  })

  return async (request) => {
    const [path = ''] = request.url.split('?', 1)
    const methods = [...known.values()].filter((entry) => entry.path.test(path)).flatMap((entry) => entry.methods)
    if (methods.length === 0 || methods.includes(request.method))
      throw new RequestProblem('NOT_FOUND', 'there is nothing here; /docs shows what there is')
    const allow = [...new Set(methods)].join(', ')
    throw new RequestProblem('METHOD_NOT_ALLOWED', `only ${allow} are answered here`, { headers: { allow } })
  }
}
