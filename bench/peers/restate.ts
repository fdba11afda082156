import { once } from 'node:events'
import { Agent, request } from 'node:http'
import { createServer, type ServerHttp2Session } from 'node:http2'
import { createRequire } from 'node:module'
import { arch, platform } from 'node:os'
import { text } from 'node:stream/consumers'
import { type Context, createEndpointHandler, service } from '@restatedev/restate-sdk'
import { assertComplete, STAGES, type StartPeer } from './peer.ts'
import { freePort, LOOPBACK, scratchDir, startServer } from './server.ts'

const fiveStages = service({
  name: 'FiveStages',
  handlers: {
    async run(ctx: Context): Promise<number> {
      let last = 0
      for (let stage = 1; stage <= STAGES; stage += 1) {
        last = await ctx.run(`stage-${stage}`, () => stage)
      }
      return last
    },
  },
})

export const start: StartPeer = async (stack) => {
  const endpoint = await serveEndpoint(stack)
  const { ingress, admin } = await startRestate(stack)

  const agent = new Agent({ keepAlive: true })
  stack.defer(() => agent.destroy())
  await post(agent, `${admin}/deployments`, JSON.stringify({ uri: endpoint }))
  return {
    durable: 'synced: replicated log (of one node), fsync before an entry counts',
    async run() {
      assertComplete(JSON.parse(await post(agent, `${ingress}/FiveStages/run`)))
    },
  }
}

/** The handlers, over HTTP/2 as the SDK itself would serve them, but on loopback only. */
async function serveEndpoint(stack: AsyncDisposableStack): Promise<string> {
  const handler = createEndpointHandler({
    services: [fiveStages],
    // By default every run is announced on stdout, where the results go.
    logger: (meta, ...message) => {
      if (meta.level === 'error') console.error(...message)
    },
  })
  const server = createServer(handler)
  const sessions = new Set<ServerHttp2Session>()
  server.on('session', (session) => {
    sessions.add(session)
    session.once('close', () => sessions.delete(session))
  })
  stack.defer(() => {
    server.close()
    for (const session of sessions) session.destroy()
  })
  const port = await freePort()
  server.listen(port, LOOPBACK)
  await once(server, 'listening')
  return `http://${LOOPBACK}:${port}`
}

async function startRestate(stack: AsyncDisposableStack): Promise<{ ingress: string; admin: string }> {
  const dir = await scratchDir(stack)
  const ingress = `${LOOPBACK}:${await freePort()}`
  const admin = `${LOOPBACK}:${await freePort()}`
  const node = `${LOOPBACK}:${await freePort()}`
  await startServer(stack, {
    command: restateServer(),
    args: ['--no-logo', '--base-dir', dir, '--listen-mode', 'tcp', '--bind-address', node],
    dir,
    env: {
      // Its invokers leave a directory each there.
      TMPDIR: dir,
      DO_NOT_TRACK: '1',
      RESTATE_DISABLE_TELEMETRY: 'true',
      RESTATE_INGRESS__BIND_ADDRESS: ingress,
      RESTATE_ADMIN__BIND_ADDRESS: admin,
    },
    ready: async () => {
      const answers = await Promise.all([fetch(`http://${admin}/health`), fetch(`http://${ingress}/restate/health`)])
      return answers.every((answer) => answer.ok)
    },
  })
  return { ingress: `http://${ingress}`, admin: `http://${admin}` }
}

/** The binary itself, which the npm package only wraps in a process of Node. */
function restateServer(): string {
  const wrapper = createRequire(import.meta.url).resolve('@restatedev/restate-server/package.json')
  return createRequire(wrapper).resolve(`@restatedev/restate-server-${platform()}-${arch()}/bin/restate-server`)
}

async function post(agent: Agent, url: string, body = ''): Promise<string> {
  const headers = body ? { 'content-type': 'application/json' } : {}
  const outgoing = request(url, { method: 'POST', agent, headers })
  outgoing.end(body)
  const [incoming] = await once(outgoing, 'response')
  const answer = await text(incoming)
  if (incoming.statusCode >= 300) throw new Error(`${url} answered ${incoming.statusCode}: ${answer}`)
  return answer
}
