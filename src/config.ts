// The settings, from flags and the environment; the only reader of process.env.
import { isIP } from 'node:net'
import { resolve } from 'node:path'
import { z } from 'zod'

const ROLES = ['api', 'engine', 'reactors', 'projector', 'worker'] as const

/** A mistake in the settings: `message` names the setting, what is wrong and what would be right. Exit code 78. */
export class ConfigError extends Error {
  constructor(problems: readonly string[]) {
    super(problems.join('\n'))
    this.name = 'ConfigError'
  }
}

const list = z.string().transform((text) =>
  text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== ''),
)
const loopback = ['127.0.0.1', 'localhost', '::1']

/** A queue to serve, with at most `limit` of its attempts at once; without one only the worker's concurrency counts. */
const queue = z.string().transform((text, context) => {
  const [, name, limit] = /^([a-z][a-z0-9_-]{0,62})(?:=([1-9]\d{0,3}))?$/.exec(text) ?? []
  if (name !== undefined) return { name, ...(limit === undefined ? {} : { limit: Number(limit) }) }
  context.addIssue({ code: 'custom', message: `${JSON.stringify(text)} is no queue; write default or default=4` })
  return z.NEVER
})

/** What the worker has, such as gpu or linux. */
const label = z.string().regex(/^[a-z][a-z0-9_-]{0,62}$/, {
  error: ({ input }) => `${JSON.stringify(input)} is no label; write gpu or linux`,
})

/** A host name, an address or a range of addresses. A name whose last part is a number is an address gone wrong. */
const destination = z.string().superRefine((text, context) => {
  const [, address = '', bits] = /^([^/%]*)(?:\/(\d{1,3}))?$/.exec(text) ?? []
  const kind = isIP(address)
  const isAddress = kind !== 0 && Number(bits ?? 0) <= (kind === 4 ? 32 : 128)
  const isName = /^(?!(.*\.)?\d+\.?$)(?=.{1,254}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.|$))+$/i.test(text)
  if (isAddress || isName) return
  const message = `${JSON.stringify(text)} is neither a host, an address nor a range such as 10.0.0.0/8`
  context.addIssue({ code: 'custom', message })
})

/** Its value is never repeated, since it may hold a password. */
const url = (...schemes: string[]) =>
  z.string().superRefine((text, context) => {
    const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(text)?.[1]?.toLowerCase() ?? ''
    const right = schemes.some((start) => text.startsWith(start))
    // Those of EventStoreDB and Kafka may name several hosts, which URLs cannot; their adapters look at them.
    if (right && (!text.includes('//') || /^(esdb|kafka)/.test(scheme) || URL.canParse(text))) return
    context.addIssue({ code: 'custom', message: right ? 'is no URL' : `must begin with ${schemes.join(' or ')}` })
  })

/** A Redis, with the number of a database at most: what else its client could be told there would undo what leases rely on. */
const redisUrl = url('memory:', 'redis://', 'rediss://').refine(
  (text) => text.startsWith('memory:') || !URL.canParse(text) || isPlainRedis(new URL(text)),
  { message: 'must be a host, a port and the number of a database at most, such as redis://host:6379/0' },
)
const isPlainRedis = ({ hostname, pathname, search, hash }: URL): boolean =>
  hostname !== '' && /^\/?\d{0,3}$/.test(pathname) && search === '' && hash === ''

const settings = {
  port: z.coerce.number({ error: 'must be a number from 0 to 65535' }).int().min(0).max(65_535).default(8080),
  healthPort: z.coerce.number({ error: 'must be a number from 0 to 65535' }).int().min(0).max(65_535).optional(),
  host: z
    .string()
    .default('127.0.0.1')
    .refine((host) => loopback.includes(host), {
      message: 'must be a loopback address: there is no authentication yet, so nothing may reach it from outside',
    }),
  data: z
    .string()
    .min(1)
    .default('./data')
    .transform((path) => resolve(path)),
  eventStore: url('embedded:', 'esdb://', 'esdb+discover://').optional(),
  queue: url('memory:', 'kafka://').default('memory:'),
  leases: redisUrl.default('memory:'),
  cache: redisUrl.default('memory:'),
  database: url('embedded:', 'postgres://', 'postgresql://').optional(),
  databaseReplica: url('postgres://', 'postgresql://').optional(),
  roles: list.pipe(z.array(z.enum(ROLES)).min(1)).default([...ROLES]),
  queues: list.pipe(z.array(queue).min(1)).default([{ name: 'default' }]),
  labels: list
    .pipe(z.array(label).max(32, 'at most 32 labels'))
    .transform((labels) => [...new Set(labels)])
    .default([]),
  handlers: list.default([]),
  concurrency: z.coerce.number({ error: 'must be a number from 1 to 1000' }).int().min(1).max(1_000).default(16),
  allowOutbound: list.pipe(z.array(destination)).default([]),
  archive: z
    .string()
    .min(1)
    .transform((path) => resolve(path))
    .optional(),
  auditKey: z
    .string()
    .min(1)
    .transform((path) => resolve(path))
    .optional(),
  cleanUpMinutes: z.coerce.number({ error: 'must be a number of minutes' }).min(0).max(10_080).default(60),
  keepWorkHours: z.coerce.number({ error: 'must be a number of hours' }).min(0).default(24),
  traces: url('http://', 'https://').optional(),
  logLevel: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']).default('info'),
  leaseMs: z.coerce.number({ error: 'must be a number of milliseconds' }).int().min(1_000).default(30_000),
  eventStoreWaitMs: z.coerce.number({ error: 'must be a number of milliseconds' }).int().min(0).default(30_000),
  databaseWaitMs: z.coerce.number({ error: 'must be a number of milliseconds' }).int().min(0).default(30_000),
  heartbeatMs: z.coerce.number({ error: 'must be a number of milliseconds' }).int().min(50).default(500),
} as const

export type Role = (typeof ROLES)[number]
type Name = keyof typeof settings
export type Config = { [K in Name]: z.output<(typeof settings)[K]> }

/** `--event-store` and `MILLRACE_EVENT_STORE` of `eventStore`. */
export const flagOf = (name: Name): string => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
export const variableOf = (name: Name): string => `MILLRACE_${flagOf(name).toUpperCase().replaceAll('-', '_')}`
export const settingNames = Object.keys(settings) as readonly Name[]

/**
 * A flag goes before its variable, and that before the default.
 * @throws ConfigError that names every problem at once; values of URLs are not repeated, since they may hold secrets
 */
export function readConfig(
  flags: Readonly<Record<string, string | undefined>>,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Config {
  const problems = unknownVariables(environment)
  const config: Record<string, unknown> = {}
  for (const name of settingNames) {
    const given = flags[name] ?? environment[variableOf(name)]
    const parsed = (settings[name] as z.ZodType).safeParse(given === '' ? undefined : given)
    if (parsed.success) config[name] = parsed.data
    else problems.push(`--${flagOf(name)} (${variableOf(name)}): ${parsed.error.issues.map(said).join('; ')}`)
  }
  const { leaseMs, heartbeatMs } = config as Config
  if (heartbeatMs * 3 > leaseMs)
    problems.push(`--heartbeat-ms (${heartbeatMs}) must be at most a third of --lease-ms (${leaseMs})`)
  const { database = 'embedded:', databaseReplica } = config as Config
  if (databaseReplica !== undefined && database.startsWith('embedded:'))
    problems.push('--database-replica is a replica of a PostgreSQL of your own; name that with --database')
  const { roles, queue, leases } = config as Config
  if (roles?.every((role) => role === 'worker') && (queue === 'memory:' || leases === 'memory:'))
    problems.push(
      'a worker alone shares its work with other processes: it needs --queue kafka://… and --leases redis://…',
    )
  if (problems.length > 0) throw new ConfigError(problems)
  return config as Config
}

const said = ({ message, path }: z.core.$ZodIssue): string =>
  path.length > 0 ? `entry ${Number(path[0]) + 1}: ${message}` : message

function unknownVariables(environment: Readonly<Record<string, string | undefined>>): string[] {
  const known = new Set(settingNames.map(variableOf))
  // A stage's script sees MILLRACE_EXECUTION and the like; a program started from it must not stumble over them.
  const ofStages = ['EXECUTION', 'STAGE', 'ATTEMPT', 'NAMESPACE', 'OUTPUT', 'INSTANCE'].map(
    (name) => `MILLRACE_${name}`,
  )
  return Object.keys(environment)
    .filter((name) => name.startsWith('MILLRACE_') && !known.has(name) && !ofStages.includes(name))
    .map((name) => `${JSON.stringify(name)} is not a setting; did you mean ${nearest(name, [...known])}?`)
}

const nearest = (name: string, names: readonly string[]): string =>
  names.toSorted((a, b) => changes(name, a) - changes(name, b))[0]!

/** How many letters to change, add or take away make one of the other (Levenshtein). */
function changes(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, n) => n)
  for (const [i, letter] of [...from].entries()) {
    const next = [i + 1]
    for (let j = 0; j < to.length; j++)
      next.push(Math.min(row[j + 1]! + 1, next[j]! + 1, row[j]! + (letter === to[j] ? 0 : 1)))
    row = next
  }
  return row.at(-1)!
}

/** The part of the environment that scripts may see. */
export const scriptEnvironment = (): Readonly<Record<string, string | undefined>> => process.env
