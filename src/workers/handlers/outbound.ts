// The one way out for requests that a workflow asks for, so that none of them reaches what only this machine can reach.
import { lookup as systemLookup } from 'node:dns/promises'
import { isIP, type LookupFunction } from 'node:net'
import ipaddr from 'ipaddr.js'
import { Agent, buildConnector } from 'undici'
import { StageFailure } from '../../ports/handler.ts'

type Resolve = (hostname: string) => Promise<readonly { readonly address: string; readonly family: number }[]>

export type OutboundOptions = {
  /** True allows every address; a list of CIDRs, addresses and host names allows these beside the public ones. */
  readonly allowPrivate: boolean | readonly string[]
  readonly connectTimeoutMs?: number
  /** Time for the response's head, and between two pieces of its body. */
  readonly responseTimeoutMs?: number
  readonly resolve?: Resolve
}

/** What `localhost` and every name under it lead to (RFC 6761 §6.3), whatever a resolver says. */
const LOOPBACK = [
  { address: '127.0.0.1', family: 4 },
  { address: '::1', family: 6 },
] as const

export type Outbound = {
  /** Reads an address, relative to `base` where that is given; throws `StageFailure` for what is no plain http(s) URL. */
  parseUrl(text: string, base?: URL): URL
  /** A dispatcher whose connections go to allowed addresses only. Destroy it when done. */
  createAgent(): Agent
}

/** Public addresses of IPv6 are all in here (RFC 4291, IANA's registry); what isn't stays refused as long as nobody assigns it. */
const GLOBAL_UNICAST = ipaddr.IPv6.parseCIDR('2000::/3')

/** Throws `Error` when `allowPrivate` has an entry that makes no sense. */
export function createOutbound(options: OutboundOptions): Outbound {
  const allows = compileRules(options.allowPrivate)
  return {
    parseUrl,
    createAgent: () =>
      new Agent({
        connect: guardedConnector(options, allows),
        headersTimeout: options.responseTimeoutMs ?? 60_000,
        bodyTimeout: options.responseTimeoutMs ?? 60_000,
      }),
  }
}

type Allows = (hostname: string, address: string) => boolean

/** Checks what is connected to at the moment of connecting: a name that meanwhile leads elsewhere changes nothing. */
function guardedConnector(options: OutboundOptions, allows: Allows): buildConnector.connector {
  const connect = buildConnector({
    lookup: guardedLookup(options.resolve ?? ((hostname) => systemLookup(hostname, { all: true })), allows),
    timeout: options.connectTimeoutMs ?? 10_000,
    allowH2: false,
  } as buildConnector.BuildOptions)
  return (target, callback) => {
    // Addresses in figures are never looked up.
    if (isIP(target.hostname) !== 0 && !allows(target.hostname, target.hostname))
      callback(refused(target.hostname), null)
    else connect(target, callback)
  }
}

function guardedLookup(resolve: Resolve, allows: Allows): LookupFunction {
  return (hostname, { all }, callback) => {
    const found = /(^|\.)localhost$/.test(plainHost(hostname)) ? Promise.resolve(LOOPBACK) : resolve(hostname)
    found.then(
      (addresses) => {
        const allowed = addresses.filter(({ address }) => allows(hostname, address))
        const [first] = allowed
        if (!first) callback(refused(hostname), '')
        else if (all) callback(null, [...allowed])
        else callback(null, first.address, first.family)
      },
      (error: NodeJS.ErrnoException) => callback(error, ''),
    )
  }
}

function parseUrl(text: string, base?: URL): URL {
  const url = URL.parse(text, base?.href)
  if (!url) throw new StageFailure({ code: 'INPUT_INVALID', message: 'this is not a URL', retryable: false })
  if (url.protocol !== 'http:' && url.protocol !== 'https:') throw notAllowed('only http and https are allowed')
  if (url.username !== '' || url.password !== '')
    throw notAllowed('a URL must not hold a user name or a password; send them in a header')
  return url
}

function compileRules(allowPrivate: boolean | readonly string[]): Allows {
  if (allowPrivate === true) return () => true
  const entries = allowPrivate === false ? [] : allowPrivate
  const isAddress = (entry: string): boolean => entry.includes('/') || ipaddr.isValid(entry)
  const ranges = entries.filter(isAddress).map(parseRange)
  const hosts = new Set(entries.filter((entry) => !isAddress(entry)).map(plainHost))
  return (hostname, text) => {
    if (hosts.has(plainHost(hostname))) return true
    if (!ipaddr.isValid(text)) return false
    // IPv4 in the clothes of IPv6 is judged as IPv4.
    const address = ipaddr.process(text)
    return isPublic(address) || ranges.some((range) => isIn(address, range))
  }
}

type Address = ipaddr.IPv4 | ipaddr.IPv6
type Range = readonly [Address, number]

const isPublic = (address: Address): boolean =>
  address.range() === 'unicast' && (address.kind() === 'ipv4' || isIn(address, GLOBAL_UNICAST))

const isIn = (address: Address, [start, bits]: Range): boolean =>
  address.kind() === start.kind() && (address as ipaddr.IPv6).match(start as ipaddr.IPv6, bits)

function parseRange(entry: string): Range {
  if (!entry.includes('/')) {
    const address = ipaddr.process(entry)
    return [address, address.kind() === 'ipv4' ? 32 : 128]
  }
  if (!ipaddr.isValidCIDR(entry))
    throw new Error(`"${entry}" is neither an address range such as 10.0.0.0/8 nor a host`)
  return ipaddr.parseCIDR(entry)
}

const plainHost = (host: string): string => host.toLowerCase().replace(/\.$/, '')

/** Keeps the address to itself: whoever may write workflows doesn't thereby learn the network. */
const refused = (hostname: string): StageFailure =>
  notAllowed(`${JSON.stringify(hostname)} leads to an address that is not public; an operator can allow it`)

const notAllowed = (message: string): StageFailure =>
  new StageFailure({ code: 'ADDRESS_REFUSED', message, retryable: false })
