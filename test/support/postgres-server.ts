// A PostgreSQL of the test's own, from the programs of the machine.
import { execFile } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { chmod, chown, copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import { Client } from 'pg'
import { type Account, postgresAccount } from '../../src/adapters/read-models/postgres-account.ts'
import { freePort } from '../../src/adapters/read-models/postmaster.ts'
import type { Certificate } from './certificate.ts'
import { type OwnServer, startServerProcess } from './server-process.ts'

const DEBIAN = '/usr/lib/postgresql'
const run = promisify(execFile)

/** The folder with the programs of PostgreSQL, the newest where there are several; `path` is searched first. */
export function findPostgresPrograms(path: string): string | undefined {
  const packaged = existsSync(DEBIAN) ? readdirSync(DEBIAN).sort((a, b) => Number(b) - Number(a)) : []
  const folders = [...path.split(delimiter), ...packaged.map((version) => join(DEBIAN, version, 'bin'))]
  return folders.find((folder) =>
    ['initdb', 'postgres', 'pg_basebackup'].every((name) => existsSync(join(folder, name))),
  )
}

type PostgresOptions = {
  /** Takes connections with TLS and no others. */
  readonly certificate?: Certificate
  /** Makes it a replica that follows another one. */
  readonly replicaOf?: string
}

export async function startPostgresServer(programs: string, options: PostgresOptions = {}): Promise<OwnServer> {
  const { certificate, replicaOf } = options
  const account = await postgresAccount()
  const identity = account ? { uid: account.uid, gid: account.gid } : {}
  const folder = await mkdtemp(join(tmpdir(), 'millrace-postgres-server-'))
  if (account) await chown(folder, account.uid, account.gid)
  const data = join(folder, 'data')
  const make = (program: string, args: readonly string[]) =>
    run(join(programs, program), [...args], { ...identity, cwd: folder, env: { ...process.env, HOME: folder } })
  const initialise = () =>
    replicaOf
      ? make('pg_basebackup', ['-d', replicaOf, '-D', data, '-R', '-c', 'fast'])
      : make('initdb', [
          '--pgdata',
          data,
          '--username',
          'millrace',
          '--auth',
          'trust',
          '--encoding',
          'UTF8',
          '--locale',
          'C',
          '--no-sync',
        ])
  await initialise()
  const encrypted = certificate ? await encrypt(certificate, folder, account) : []
  const port = await freePort()
  const url = `postgres://millrace@127.0.0.1:${port}/postgres${certificate ? '?sslmode=no-verify' : ''}`
  const settings = [
    ...['listen_addresses=127.0.0.1', 'unix_socket_directories=', 'fsync=off', 'shared_buffers=32MB'],
    ...['max_connections=60', 'wal_level=replica', 'max_wal_senders=4', 'jit=off'],
    ...encrypted,
  ]
  return startServerProcess({
    url,
    folder,
    identity,
    // Killed outright it leaves its children, and as long as one of them lives it does not start again.
    killSignal: 'SIGQUIT',
    command: join(programs, 'postgres'),
    args: ['-D', data, '-p', String(port), ...settings.flatMap((setting) => ['-c', setting])],
    isReady: () => answers(url),
    async empty() {
      await rm(data, { recursive: true })
      await initialise()
    },
  })
}

/** The settings for it: PostgreSQL wants a key of its own that nobody else can read. */
async function encrypt({ cert, key }: Certificate, folder: string, account: Account): Promise<readonly string[]> {
  const [own, ownKey, hba] = [join(folder, 'own.crt'), join(folder, 'own.key'), join(folder, 'hba.conf')] as const
  await copyFile(cert, own)
  await copyFile(key, ownKey)
  await chmod(ownKey, 0o600)
  await writeFile(hba, 'hostssl all all 127.0.0.1/32 trust\nhostssl replication all 127.0.0.1/32 trust\n')
  if (account) for (const file of [own, ownKey, hba]) await chown(file, account.uid, account.gid)
  return ['ssl=on', `ssl_cert_file=${own}`, `ssl_key_file=${ownKey}`, `hba_file=${hba}`]
}

async function answers(connectionString: string): Promise<void> {
  const client = new Client({ connectionString, connectionTimeoutMillis: 2_000 })
  client.on('error', () => {})
  try {
    await client.connect()
    await client.query('SELECT 1')
  } finally {
    await client.end().catch(() => {})
  }
}
