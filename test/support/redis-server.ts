// A Redis of the test's own, from the `redis-server` of the machine.
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { freePort } from '../../src/adapters/read-models/postmaster.ts'
import { type OwnServer, startServerProcess } from './server-process.ts'

/** Every write is on the disk before its answer, so that a kill loses nothing. */
const DURABLE = ['--appendonly', 'yes', '--appendfsync', 'always', '--save', '']

/** @param options `flags` of redis-server, such as `['--requirepass', 'secret']`, and the `url` that it is reached by with them */
export async function startRedisServer(
  options: { flags?: (port: number) => readonly string[]; url?: (port: number) => string } = {},
): Promise<OwnServer> {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-redis-'))
  const port = await freePort()
  const url = options.url?.(port) ?? `redis://127.0.0.1:${port}`
  const address = ['--bind', '127.0.0.1', '--port', String(port), '--dir', folder]
  return startServerProcess({
    url,
    folder,
    command: 'redis-server',
    args: [...address, ...DURABLE, ...(options.flags?.(port) ?? [])],
    isReady: () => ping(url),
    async empty() {
      for (const file of await readdir(folder)) await rm(join(folder, file), { recursive: true })
    },
  })
}

async function ping(url: string): Promise<void> {
  const redis = new Redis(url, { lazyConnect: true, retryStrategy: null, connectTimeout: 1_000, commandTimeout: 1_000 })
  redis.on('error', () => {})
  try {
    await redis.connect()
    await redis.ping()
  } finally {
    redis.disconnect()
  }
}
