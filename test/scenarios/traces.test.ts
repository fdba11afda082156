import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, it } from 'vitest'
import { makeHome } from '../support/program.ts'

type Span = {
  readonly name: string
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly status: { readonly code?: number; readonly message?: string }
  readonly attributes: readonly { readonly key: string; readonly value: { readonly stringValue?: string } }[]
}
type Export = {
  readonly resourceSpans: readonly { readonly scopeSpans: readonly { readonly spans: readonly Span[] }[] }[]
}

/** Takes spans as a collector does. */
async function collector(t: { onTestFinished(close: () => void): void }) {
  const spans: Span[] = []
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const { resourceSpans } = JSON.parse(Buffer.concat(chunks).toString()) as Export
      spans.push(...resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap((scope) => scope.spans)))
      response.setHeader('content-type', 'application/json').end('{}')
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.onTestFinished(() => void server.close())
  return { spans, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/traces` }
}

const workflow = `
name: traced
stages:
  good: { uses: shell, with: { run: "true" } }
  next: { uses: shell, needs: [good], with: { run: "true" } }
`

it('a request, its appends, its work and the attempts of its run are one trace', async (t) => {
  const { spans, url } = await collector(t)
  const home = await makeHome(t)
  const program = home.start('--traces', url)
  const api = `${await program.ready}/v1/default`
  const yaml = { 'content-type': 'application/yaml' }
  expect((await fetch(`${api}/workflows/traced`, { method: 'PUT', headers: yaml, body: workflow })).status).toBe(201)
  const [traceId, caller] = ['4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7']
  const started = await fetch(`${api}/executions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', traceparent: `00-${traceId}-${caller}-01` },
    body: JSON.stringify({ workflow: 'traced' }),
  })
  const { id } = (await started.json()) as { id: string }
  await t.expect
    .poll(async () => ((await (await fetch(`${api}/executions/${id}`)).json()) as { status?: string }).status, {
      timeout: 20_000,
    })
    .toBe('completed')
  expect(await program.kill('SIGTERM'), program.stderr()).toEqual({ code: 0, signal: null })

  const traced = spans.filter((span) => span.traceId === traceId)
  const request = traced.find(({ name }) => name === 'POST /v1/:namespace/executions')!
  expect(request.parentSpanId).toBe(caller)
  const below = traced.filter(({ parentSpanId }) => parentSpanId === request.spanId)
  expect(below).toHaveLength(traced.length - 1)
  const names = (kind: RegExp) => below.map(({ name }) => name).filter((name) => kind.test(name))
  expect(names(/^shell /)).toEqual(['shell good', 'shell next'])
  expect(names(/^publish$/)).toHaveLength(2)
  // The start, and what became of each attempt.
  expect(names(/^append$/).length).toBeGreaterThanOrEqual(3)
  const attempt = below.find(({ name }) => name === 'shell good')!
  const execution = attempt.attributes.find(({ key }) => key === 'millrace.execution')
  expect(execution?.value.stringValue).toBe(id)
  // Nobody asked for the checks of whoever watches.
  expect(spans.some(({ name }) => name.includes('/health'))).toBe(false)
})

it('a collector that is not there takes nothing from anybody', async (t) => {
  const home = await makeHome(t)
  const program = home.start('--traces', 'http://127.0.0.1:9/v1/traces')
  const api = `${await program.ready}/v1/default`
  const yaml = { 'content-type': 'application/yaml' }
  expect((await fetch(`${api}/workflows/traced`, { method: 'PUT', headers: yaml, body: workflow })).status).toBe(201)
  expect(await program.kill('SIGTERM'), program.stderr()).toEqual({ code: 0, signal: null })
})
