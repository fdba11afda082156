// HTTP as bytes on a socket, for requests that no client would send.
import { connect, type Socket } from 'node:net'

export type RawResponse = { statusCode: number; headers: Record<string, string>; body: string }

/** Sends the parts one after the other and resolves with every response until the server closes the connection. */
export async function exchange(
  port: number,
  parts: readonly (string | Buffer)[],
  { end = false }: { end?: boolean } = {},
): Promise<RawResponse[]> {
  const socket = await open(port)
  for (const part of parts) socket.write(part)
  if (end) socket.end()
  return responsesOf(await received(socket))
}

export async function open(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  socket.once('connect', resolve)
  socket.once('error', reject)
  await promise
  return socket
}

/** What comes until the other side closes; a reset counts as closing. */
export function received(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = []
  return new Promise((resolve) => {
    socket.on('data', (chunk) => chunks.push(chunk))
    socket.on('error', () => {})
    socket.on('close', () => resolve(Buffer.concat(chunks)))
  })
}

export function responsesOf(bytes: Buffer): RawResponse[] {
  const responses: RawResponse[] = []
  for (let rest = bytes; rest.length > 0; ) {
    const split = rest.indexOf('\r\n\r\n')
    const [status = '', ...lines] = rest.subarray(0, split).toString().split('\r\n')
    const headers = Object.fromEntries(
      lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
    )
    const end = split + 4 + Number(headers['content-length'] ?? 0)
    const body = rest.subarray(split + 4, end).toString()
    responses.push({ statusCode: Number(status.split(' ')[1]), headers, body })
    rest = rest.subarray(end)
  }
  return responses
}
