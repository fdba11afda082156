/** What a `kafka://` URL says; a password in it is repeated nowhere. */
export type KafkaSettings = {
  readonly brokers: readonly string[]
  readonly ssl: boolean
  readonly sasl?: {
    readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512'
    readonly username: string
    readonly password: string
  }
  /** What the names of topics and groups begin with, so that installations can share brokers. */
  readonly prefix: string
  /** Of topics that it makes: -1 leaves it to the brokers. */
  readonly partitions: number
  readonly replication: number
}

const SHAPE = /^kafka:\/\/(?:([^:@/?#]+):([^@/?#]+)@)?([^@/?#]+)\/?(?:\?([^#]*))?$/
const HOST = /^(?:[a-z0-9]([a-z0-9._-]*[a-z0-9])?|\[[0-9a-f:]+\])(?::([1-9]\d{0,4}))?$/i
const MECHANISMS = ['plain', 'scram-sha-256', 'scram-sha-512'] as const
const DEFAULTS = { ssl: 'false', mechanism: 'scram-sha-256', prefix: 'millrace', partitions: '12', replication: '-1' }
type Parameter = keyof typeof DEFAULTS
const PARAMETERS: Readonly<Record<Parameter, RegExp>> = {
  ssl: /^(true|false)$/,
  mechanism: /^(plain|scram-sha-256|scram-sha-512)$/,
  prefix: /^[a-zA-Z0-9-]{1,40}$/,
  partitions: /^(-1|[1-9]\d{0,3})$/,
  replication: /^(-1|[1-9]\d?)$/,
}

/**
 * `kafka://[user:password@]host[:port][,host[:port]][?ssl=true&mechanism=scram-sha-512&prefix=millrace&partitions=12&replication=3]`
 * @throws Error that says what is wrong, without a word of user and password
 */
export function parseKafkaUrl(text: string): KafkaSettings {
  const [, username, password, hosts, query = ''] = SHAPE.exec(text) ?? []
  if (hosts === undefined) throw new Error('is no URL such as kafka://host:9092,other:9092')
  const brokers = hosts.split(',').map(broker)
  const given = parameters(query)
  const mechanism = MECHANISMS.find((name) => name === given.mechanism)!
  const account = username === undefined || password === undefined ? undefined : { username, password }
  return {
    brokers,
    ssl: given.ssl === 'true',
    ...(account && { sasl: { mechanism, username: decoded(account.username), password: decoded(account.password) } }),
    prefix: given.prefix,
    partitions: Number(given.partitions),
    replication: Number(given.replication),
  }
}

function broker(text: string): string {
  const [match, , port] = HOST.exec(text) ?? []
  if (match === undefined || Number(port ?? 0) > 65_535) throw new Error('has a broker that is no host:port')
  return port === undefined ? `${text}:9092` : text
}

function parameters(query: string): typeof DEFAULTS {
  const given: Record<Parameter, string> = { ...DEFAULTS }
  for (const [name, value] of new URLSearchParams(query)) {
    if (!isParameter(name)) throw new Error(`has an unknown parameter; there are ${Object.keys(DEFAULTS).join(', ')}`)
    if (!PARAMETERS[name].test(value)) throw new Error(`has a value of ${name} that cannot be`)
    given[name] = value
  }
  return given
}

const isParameter = (name: string): name is Parameter => Object.hasOwn(DEFAULTS, name)

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw new Error('has a user or a password with a % that is no escape')
  }
}
