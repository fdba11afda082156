/** Errors of Node's sockets, and PostgreSQL's SQLSTATEs for connections, shutdowns, statements that took too long, and replicas that go on. */
const codes = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOENT',
  'ENOTFOUND',
  'EPIPE',
  'ETIMEDOUT',
  '08000',
  '08001',
  '08003',
  '08006',
  '40001',
  '53300',
  '57014',
  '57P01',
  '57P02',
  '57P03',
])
/** What the driver of PostgreSQL throws without a code. */
const messages = /^(?:Connection terminated|timeout exceeded when trying to connect|Query read timeout)/

/** Whether an error says that the read models cannot be asked right now, rather than that something is wrong with a question. */
export function isOutOfReach(error: unknown): boolean {
  const { code, message } = error as { code?: unknown; message?: unknown }
  return (typeof code === 'string' && codes.has(code)) || (typeof message === 'string' && messages.test(message))
}
