// A network between a test and a server that can swallow everything, and break.
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'

export type TcpProxy = {
  readonly port: number
  /** From now on nothing gets through in either direction, and no connection ends: what was sent waits in between. */
  swallow(): void
  /** Everything gets through again, what waited first. */
  pass(): void
  /** The connections that there are never get anything through again, and do not end; new ones work. */
  strand(): void
  /** Breaks every connection; new ones get through. */
  cut(): void
  close(): Promise<void>
}

export async function startTcpProxy(to: { host: string; port: number }): Promise<TcpProxy> {
  const sockets = new Set<Socket>()
  let stranded = new Set<Socket>()
  let swallowing = false
  const server = createServer({ pauseOnConnect: true }, (near) => {
    const far = connect(to)
    for (const [from, into] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from)
      from.on('data', (data) => into.write(data))
      from.on('end', () => into.end())
      from.on('error', () => into.destroy())
      from.on('close', () => {
        sockets.delete(from)
        // What waited for the other side still gets there.
        into.end()
      })
      if (swallowing) from.pause()
      else from.resume()
    }
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as { port: number }).port,
    swallow() {
      swallowing = true
      for (const socket of sockets) socket.pause()
    },
    pass() {
      swallowing = false
      for (const socket of sockets) if (!stranded.has(socket)) socket.resume()
    },
    strand() {
      for (const socket of sockets) socket.pause()
      stranded = new Set(sockets)
    },
    cut() {
      for (const socket of sockets) socket.destroy()
    },
    async close() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}
