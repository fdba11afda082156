import { once } from 'node:events'
import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import { connect } from 'node:net'
import { delimiter, join } from 'node:path'
import { freePort, LOOPBACK, scratchDir, startServer } from './server.ts'

/** The port of a Redis with its append-only file on, at the default of a sync every second. */
export async function startRedis(stack: AsyncDisposableStack): Promise<number> {
  const command = await redisServer()
  if (command === undefined) throw new Error('redis-server not found')
  const dir = await scratchDir(stack)
  const port = await freePort()
  await startServer(stack, {
    command,
    args: [
      ...['--bind', LOOPBACK],
      ...['--port', String(port)],
      ...['--dir', dir],
      ...['--appendonly', 'yes'],
      ...['--appendfsync', 'everysec'],
    ],
    dir,
    ready: () => answersPing(port),
  })
  return port
}

export async function redisServer(): Promise<string | undefined> {
  for (const dir of (process.env.PATH ?? '').split(delimiter)) {
    const path = join(dir, 'redis-server')
    const executable = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    )
    if (dir && executable) return path
  }
  return undefined
}

async function answersPing(port: number): Promise<boolean> {
  const socket = connect(port, LOOPBACK)
  try {
    socket.write('PING\r\n')
    const [answer] = await once(socket, 'data')
    return String(answer).startsWith('+PONG')
  } finally {
    socket.destroy()
  }
}
