// A connection to Redis as this program makes them: what is asked while it is away rejects at once, and what was under way in time.
import { Redis, type RedisOptions } from 'ioredis'

/** Commands of our own, by name. */
type Scripts = NonNullable<RedisOptions['scripts']>

const RECONNECT_MS = 500

/** Not connected yet. Errors come as events, too, and somebody has to listen to them. */
export function createRedis(url: string, timeoutMs: number, scripts: Scripts): Redis {
  const { protocol, hostname, port, username, password, pathname } = new URL(url)
  return new Redis({
    host: hostname.replace(/^\[|\]$/g, ''),
    port: Number(port || 6379),
    db: Number(pathname.slice(1) || 0),
    ...(username === '' ? {} : { username: decodeURIComponent(username) }),
    ...(password === '' ? {} : { password: decodeURIComponent(password) }),
    ...(protocol === 'rediss:' ? { tls: {} } : {}),
    connectionName: 'millrace',
    lazyConnect: true,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    // Without this, what was under way when the connection broke would never be answered.
    maxRetriesPerRequest: 0,
    connectTimeout: timeoutMs,
    commandTimeout: timeoutMs,
    // A server that says nothing any more keeps its connection open, and so does a network that swallows everything.
    socketTimeout: timeoutMs,
    retryStrategy: (tries: number) => Math.min(tries * 50, RECONNECT_MS),
    scripts,
  })
}

/** Where it is, without user and password. */
export function redisAddress(url: string): string {
  const { protocol, host, pathname } = new URL(url)
  return `${protocol}//${host}${pathname === '/' ? '' : pathname}`
}

/** A name with several addresses gives one error for each. */
export function reasonOf(error: (Error & { code?: string; errors?: readonly Error[] }) | undefined): string {
  const said = error?.errors?.map(({ message }) => message).join(', ') || error?.message || error?.code
  if (said?.startsWith("Stream isn't writeable") || said === 'Connection is closed.') return 'no connection'
  return said?.startsWith('Reached the max retries') ? 'the connection was lost' : (said ?? 'no connection')
}
