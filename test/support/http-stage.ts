import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { onTestFinished } from 'vitest'
import type { Json } from '../../src/domain/message.ts'
import { createHttpHandler } from '../../src/workers/handlers/http.ts'
import type { OutboundOptions } from '../../src/workers/handlers/outbound.ts'
import { stageContext } from './stage-context.ts'

type Output = { status: number; headers: object; body: Json }

/** A server on every IPv4 address of this machine until the test ends; answers its port. */
export async function serve(listener: RequestListener): Promise<number> {
  const server = createServer(listener)
  await new Promise<void>((resolve) => server.listen(0, '0.0.0.0', resolve))
  onTestFinished(() => {
    server.close()
    server.closeAllConnections()
  })
  return (server.address() as AddressInfo).port
}

/** Answers with what it was asked. */
export const echo: RequestListener = async (request, response) => {
  const body = (await request.toArray()).join('')
  const { method, url, headers } = request
  response.setHeader('content-type', 'application/json')
  response.setHeader('set-cookie', 'session=1')
  response.end(JSON.stringify({ method, url, headers, body }))
}

export function httpStage(input: { [key: string]: Json }, options: Partial<OutboundOptions> = {}) {
  const stage = stageContext(input)
  const handler = createHttpHandler({ allowPrivate: true, ...options })
  return { ...stage, run: () => handler.run(stage.context) as Promise<Output> }
}

export const call = (...given: Parameters<typeof httpStage>): Promise<Output> => httpStage(...given).run()
