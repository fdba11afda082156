// What a server does with its connections once it is to close.
import type { Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'

/**
 * Node waits for every connection on which something was asked, or nothing was asked yet, and from then on without looking
 * for requests that are late: one that nobody uses would keep the server open. So what has no request under way ends at
 * once, what has one with its answer, and what has no answer by then all the same.
 */
export function endConnections(server: FastifyInstance, answerWithinMs: number): void {
  const quiet = new Set<Socket>()
  let closing = false
  const rest = (socket: Socket): void => {
    if (closing) socket.end()
    else quiet.add(socket)
  }
  server.server.on('connection', (socket: Socket) => {
    rest(socket)
    socket.once('close', () => quiet.delete(socket))
  })
  server.server.on('request', ({ socket }, response) => {
    quiet.delete(socket)
    response.once('close', () => {
      if (!socket.destroyed) rest(socket)
    })
  })
  server.addHook('preClose', async () => {
    closing = true
    for (const socket of quiet) socket.destroy()
    const late = setTimeout(() => server.server.closeAllConnections(), answerWithinMs)
    server.server.once('close', () => clearTimeout(late))
  })
}
