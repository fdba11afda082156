// What is looked at in the URL of an EventStoreDB before the client sees it: the client prints the whole URL, with the
// password, when it meets an option that it does not know.

/** A URL that cannot be used; the message never repeats it. */
export class EventStoreUrlInvalid extends Error {
  constructor(what: string) {
    super(`the URL of the event store ${what}`)
    this.name = 'EventStoreUrlInvalid'
  }
}

/** EventStoreDB did not answer in time, or will not have us; the message names it without the password. */
export class EventStoreUnreachable extends Error {
  constructor(url: string, reason: string) {
    super(`EventStoreDB at ${redactedEventStoreUrl(url)} cannot be used: ${reason}`)
    this.name = 'EventStoreUnreachable'
  }
}

const URL_OF_IT =
  /^(?<scheme>esdb(?:\+discover)?):\/\/(?:(?<user>[^:@/?]+):(?<password>[^@/?]+)@)?(?<hosts>[^@/?]+)\/*(?:\?(?<options>.+))?$/
const HOSTS = /^[a-z0-9_.-]+(:\d{1,5})?(,[a-z0-9_.-]+(:\d{1,5})?)*$/i

const OPTIONS = [
  'tls',
  'tlsCaFile',
  'userCertFile',
  'userKeyFile',
  'connectionName',
  'nodePreference',
  'maxDiscoverAttempts',
  'discoveryInterval',
  'gossipTimeout',
  'keepAliveInterval',
  'keepAliveTimeout',
]
/** As the client compares them. */
const flat = (name: string): string => name.trim().toLowerCase().replaceAll(/[_-]/g, '')
const KNOWN = new Set(OPTIONS.map(flat))

/** @throws EventStoreUrlInvalid */
export function checkEventStoreUrl(url: string): void {
  const { hosts = '', options = '' } = URL_OF_IT.exec(url.trim())?.groups ?? {}
  if (!HOSTS.test(hosts))
    throw new EventStoreUrlInvalid(
      'must be esdb://host:2113 or esdb+discover://host:2113, with user:password@ before the host where it needs them; special characters of a password are written as %40 and the like',
    )
  for (const option of options === '' ? [] : options.split('&')) {
    const [name = '', value = ''] = option.split('=')
    // The client cannot do without checking certificates, and says so with the URL.
    if (flat(name) === 'tlsverifycert')
      throw new EventStoreUrlInvalid('cannot turn off the check of certificates; name the authority with tlsCaFile')
    // A refused append would look like one that was written. How long a call may take is not for the URL to say.
    if (!KNOWN.has(flat(name)) || value === '')
      throw new EventStoreUrlInvalid(
        `has an option that is unknown, may not be set, or has no value; there are ${OPTIONS.join(', ')}`,
      )
  }
}

/** Without password and options, for people to read. */
export function redactedEventStoreUrl(url: string): string {
  const { scheme = 'esdb', user, hosts = '' } = URL_OF_IT.exec(url.trim())?.groups ?? {}
  return `${scheme}://${user === undefined ? '' : `${user}:***@`}${hosts}`
}
