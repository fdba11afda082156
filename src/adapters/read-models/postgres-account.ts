import { execFile } from 'node:child_process'
import { chmod, chown, readFile, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { promisify } from 'node:util'

/** Who PostgreSQL runs as: `undefined` is whoever runs Millrace. */
export type Account =
  | {
      readonly name: string
      readonly uid: number
      readonly gid: number
      /** A directory on the way is closed to the account, so it gets the right to pass, and no other of root's rights. */
      readonly passes?: boolean
    }
  | undefined

const run = promisify(execFile)

/** PostgreSQL refuses to run as root, so root hands it to the account `postgres`, made here where there is none. */
export async function postgresAccount(): Promise<Account> {
  if (process.getuid?.() !== 0) return undefined
  const found = await findAccount('postgres')
  if (found) return found
  try {
    await run('useradd', ['--system', '--user-group', '--no-create-home', '--shell', '/usr/sbin/nologin', 'postgres'])
  } catch (cause) {
    throw new Error(
      'PostgreSQL does not run as root, there is no account "postgres", and it could not be added. Run Millrace as an ordinary user, or add that account.',
      { cause },
    )
  }
  return findAccount('postgres')
}

async function findAccount(name: string): Promise<Account> {
  const lines = (await readFile('/etc/passwd', 'utf8')).split('\n')
  const fields = lines.find((line) => line.startsWith(`${name}:`))?.split(':')
  return fields ? { name, uid: Number(fields[2]), gid: Number(fields[3]) } : undefined
}

/** Lets the account pass through Millrace's own data directory, and through no other: a 0700 directory becomes 0710 with the account's group. */
export async function letPass(dataDir: string, account: Account): Promise<void> {
  if (!account) return
  const { mode, uid } = await stat(dataDir)
  if (mode & 0o001) return
  await chown(dataDir, uid, account.gid)
  await chmod(dataDir, (mode & 0o7777) | 0o010)
}

/**
 * The account, able to reach each of `paths`. A clone below a directory of root's own, such as /root or what mktemp
 * makes, is closed to it: there Linux can give a process the right to pass without giving it root.
 * @throws naming the directory on the way that the account may not pass, where that cannot be done
 */
export async function reaching(account: Account, paths: readonly string[]): Promise<Account> {
  if (!account) return undefined
  const closed = (await Promise.all(paths.map((path) => closedFolder(path, account)))).filter(isFound)
  const [first] = closed
  if (first === undefined) return account
  const able = { ...account, passes: true }
  const [command, args, options] = launch(able, process.execPath, ['--version'])
  if (process.platform === 'linux' && (await run(command, args, options).catch(() => undefined))) return able
  throw new Error(
    `PostgreSQL runs as the user ${account.name}, since Millrace runs as root, and may not pass ${first.folder} (mode ${first.mode}) to reach ${first.path}. Allow it (chmod o+x ${first.folder}), or run Millrace as an ordinary user or elsewhere.`,
  )
}

type Closed = { readonly path: string; readonly folder: string; readonly mode: string }
const isFound = (closed: Closed | undefined): closed is Closed => closed !== undefined

async function closedFolder(path: string, account: NonNullable<Account>): Promise<Closed | undefined> {
  for (let folder = dirname(path); ; folder = dirname(folder)) {
    const { mode, uid, gid } = await stat(folder)
    const needed = uid === account.uid ? 0o100 : gid === account.gid ? 0o010 : 0o001
    if (!(mode & needed)) return { path, folder, mode: (mode & 0o777).toString(8).padStart(4, '0') }
    if (folder === dirname(folder)) return undefined
  }
}

/** Command, arguments and options that run a program as the account. */
export function launch(
  account: Account,
  program: string,
  args: readonly string[],
): [string, string[], { uid?: number; gid?: number }] {
  if (!account) return [program, [...args], {}]
  const { uid, gid, passes } = account
  if (!passes) return [program, [...args], { uid, gid }]
  const right = '+dac_read_search'
  // Without the fix-up off, access(2), by which initdb looks for its neighbours, does not count the right.
  const as = [
    '--securebits=+no_setuid_fixup',
    `--reuid=${uid}`,
    `--regid=${gid}`,
    '--clear-groups',
    `--inh-caps=${right}`,
    `--ambient-caps=${right}`,
  ]
  return ['setpriv', [...as, program, ...args], {}]
}
