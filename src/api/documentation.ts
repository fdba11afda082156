// OpenAPI from the routes' own schemas, and a page that shows it.
import { randomBytes } from 'node:crypto'
import swagger from '@fastify/swagger'
import reference from '@scalar/fastify-api-reference'
import type { FastifyInstance } from 'fastify'
import { jsonSchemaTransform, jsonSchemaTransformObject } from 'fastify-type-provider-zod'

const PAGE = '/docs'

/** The page's library answers its own address by a redirect to the one with a slash at the end. */
export const withSlash = (url = '/'): string => url.replace(/^\/docs(?=\?|$)/, `${PAGE}/`)

const description = `Commands answer with \`position\`; queries take it as \`minPosition\` and never answer with anything older.
Lists are paged: \`limit\` and \`cursor\` go in, \`items\` and \`nextCursor\` come out. Every error is a problem (RFC 9457).`

/** To be registered before the routes that it is to describe. */
export function describeRoutes(server: FastifyInstance): void {
  server.register(swagger, {
    openapi: { openapi: '3.1.0', info: { title: 'Millrace', version: '1', description } },
    transform: jsonSchemaTransform,
    transformObject: componentsOf,
  })
  showReference(server)
}

/** Bodies are described where they stand, so that of every named schema only what is answered is one of the components. */
const componentsOf: typeof jsonSchemaTransformObject = (document) => {
  const described = jsonSchemaTransformObject(document) as { components?: { schemas?: Record<string, object> } }
  const schemas = Object.entries(described.components?.schemas ?? {}).filter(([name]) => !name.endsWith('Input'))
  return { ...described, components: { ...described.components, schemas: Object.fromEntries(schemas) } }
}

function showReference(server: FastifyInstance): void {
  // The page holds nothing that comes from outside, so that one nonce for the life of the process gives nothing away.
  const nonce = randomBytes(16).toString('base64url')
  const policy = [
    "default-src 'none'",
    `script-src 'self' 'nonce-${nonce}'`,
    "style-src 'self' 'unsafe-inline'",
    "connect-src 'self'",
    "img-src 'self' data:",
    "font-src 'self' data:",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ')
  server.register(reference, {
    routePrefix: PAGE,
    configuration: {
      url: '/openapi.json',
      nonce,
      // By its whole path: the page has two addresses.
      cdn: `${PAGE}/js/scalar.js`,
      pageTitle: 'Millrace API',
      withDefaultFonts: false,
      telemetry: false,
    },
    hooks: {
      onRequest: (_request, reply, done) => {
        reply.header('content-security-policy', policy)
        done()
      },
    },
  })
}
