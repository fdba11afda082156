import type { FailureRule } from '../workflow/definition.ts'
import type { FailureClass } from './events.ts'

/** The default recovery of each class: whether another attempt can help. */
export const retriesByClass: { readonly [C in FailureClass]: boolean } = {
  network: true,
  timeout: true,
  'rate-limit': true,
  'resource-exhausted': true,
  dependency: true,
  'test-failure': true,
  infrastructure: true,
  unknown: true,
  authentication: false,
  configuration: false,
  cancelled: false,
}

type BuiltInRule = FailureRule & { readonly class: FailureClass }
const { raw } = String

const connectionCodes = [
  'ECONNREFUSED',
  'ECONNRESET',
  'ETIMEDOUT',
  'EAI_AGAIN',
  'ENOTFOUND',
  'EHOSTUNREACH',
  'ENETUNREACH',
]
const connectionText = connectionCodes.join('|')

/**
 * The rules after those of the workflow, in order. What an error says of itself comes before what its text looks like. A
 * message is the end of what a script wrote, so a pattern is a whole phrase of a known program, where it stands in a line:
 * a word such as `timeout` alone says nothing. Tests come before what their output may quote.
 */
// biome-ignore format: a rule a line, a pattern a line.
export const builtInRules: readonly BuiltInRule[] = [
  { name: 'worker-lost', class: 'infrastructure', match: { codes: ['WORKER_LOST', 'SHUTDOWN', 'LEASE_LOST'] } },
  { name: 'cancelled', class: 'cancelled', match: { codes: ['CANCELLED'] } },
  { name: 'timed-out', class: 'timeout', match: { codes: ['TIMED_OUT', 'UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT'] } },
  { name: 'not-configured', class: 'configuration', match: { codes: ['HANDLER_UNKNOWN', 'INPUT_INVALID', 'EXPRESSION_FAILED', 'ADDRESS_REFUSED', 'POOL_UNKNOWN', 'POOL_TOO_SMALL'] } },
  { name: 'certificate', class: 'configuration', match: { codes: ['CONNECTION_FAILED'], messages: [raw`: (CERT_|ERR_TLS_|UNABLE_TO_|(DEPTH_ZERO_)?SELF_SIGNED_)[A-Z_]+$`] } },
  { name: 'no-connection', class: 'network', match: { codes: ['CONNECTION_FAILED', 'UND_ERR_CONNECT_TIMEOUT', 'UND_ERR_SOCKET', ...connectionCodes] } },
  { name: 'used-up', class: 'resource-exhausted', match: { codes: ['ENOSPC', 'EDQUOT', 'ENOMEM', 'EMFILE', 'ENFILE'] } },
  { name: 'file-access', class: 'configuration', match: { codes: ['ENOENT', 'EACCES', 'EPERM', 'ENOTDIR', 'EISDIR'] } },
  { name: 'http-unauthorised', class: 'authentication', match: { httpStatuses: [401, 403, 407] } },
  { name: 'http-rate-limit', class: 'rate-limit', match: { httpStatuses: [429] } },
  { name: 'http-timeout', class: 'timeout', match: { httpStatuses: [408] } },
  { name: 'http-refused', class: 'configuration', match: { httpStatuses: [400, 405, 415, 422] } },
  { name: 'http-unavailable', class: 'dependency', match: { httpStatuses: ['5xx'] } },
  { name: 'out-of-memory', class: 'resource-exhausted', match: { signals: ['SIGKILL'] } },
  { name: 'out-of-memory', class: 'resource-exhausted', match: { exitCodes: [137] } },
  { name: 'terminated', class: 'infrastructure', match: { signals: ['SIGTERM', 'SIGHUP'] } },
  { name: 'terminated', class: 'infrastructure', match: { exitCodes: [143] } },
  { name: 'no-such-command', class: 'configuration', match: { exitCodes: [126, 127] } },
  { name: 'used-up-text', class: 'resource-exhausted', match: { messages: [
    raw`(: |\] )([Nn]o space left on device|Disk quota exceeded|Cannot allocate memory|[Tt]oo many open files)\b`,
    raw`\bJavaScript heap out of memory$|\bjava\.lang\.OutOfMemoryError\b|^MemoryError\b|\bstd::bad_alloc\b|^fatal error: runtime: out of memory`,
    raw`\bfatal error: Killed signal terminated program |\(signal: 9, SIGKILL: kill\)|: fork: (retry: )?Resource temporarily unavailable`,
  ] } },
  { name: 'tests-failed', class: 'test-failure', match: { messages: [
    raw`^ *Tests:? +[1-9]\d* failed\b|^ *[1-9]\d* failing$|^[ℹ#] fail [1-9]\d*$`,
    raw`^(=+ )?[1-9]\d* failed\b.* in \d[\d.]*s\b|^FAILED [^ ]+::[^ ]+|^FAILED \((failures|errors)=`,
    raw`^ *--- FAIL: |^test result: FAILED\.|^error: test failed, to rerun pass|^npm (ERR!|error) Test failed\.`,
    raw`\bTests run: \d+, Failures: ([1-9]|0, Errors: [1-9])|^> There were failing tests\.|^[1-9]\d* examples?, [1-9]\d* failures?\b`,
  ] } },
  { name: 'login-refused', class: 'authentication', match: { messages: [
    raw`^fatal: (Authentication failed for |could not read (Username|Password) for )|: Permission denied \([a-z,-]*publickey|^npm (ERR!|error) code (E401|E403|ENEEDAUTH|EOTP)$`,
    raw`\bThe requested URL returned error: 40[13]\b|\bHTTPError: 40[13]\b|\bERROR 40[13]: |^error: You must be logged in to the server|^Error from server \(Forbidden\): `,
    raw`\bunauthorized: (authentication required|incorrect username or password)|\bdenied: requested access to the resource is denied|: password authentication failed for user `,
    raw`\bAn error occurred \((AccessDenied|ExpiredToken|InvalidClientTokenId|UnrecognizedClient|SignatureDoesNotMatch|UnauthorizedOperation)|^(fatal error: )?Unable to locate credentials`,
  ] } },
  { name: 'too-many-requests', class: 'rate-limit', match: { messages: [
    raw`\bThe requested URL returned error: 429\b|\bHTTPError: 429\b|\bERROR 429: |^npm (ERR!|error) code E429$|\btoomanyrequests: |\bAPI rate limit exceeded for `,
    raw`\bAn error occurred \((Throttling|TooManyRequests|RequestLimitExceeded|SlowDown)`,
  ] } },
  { name: 'packages', class: 'dependency', match: { messages: [
    raw`^npm (ERR!|error) code (E404|E5\d\d|ETARGET|ERESOLVE|EINTEGRITY|ERR_SOCKET_TIMEOUT|${connectionText})$|\bERR_PNPM_(FETCH|META_FETCH|NO_MATCHING_VERSION)|^error Couldn't find (package|any versions)`,
    raw`^ERROR: (No matching distribution found for|Could not find a version that satisfies|ResolutionImpossible)|^E: (Unable to locate package|Failed to fetch|Unable to fetch some archives|Package '.*' has no installation candidate)`,
    raw`\bCould not (resolve dependencies for project|transfer artifact|find artifact) |^> Could not (resolve (all |[^ ]+:)|GET ')|^error: (no matching package named|failed to download from) |^go: .*: reading https?://`,
  ] } },
  { name: 'service-unavailable', class: 'dependency', match: { messages: [raw`\bThe requested URL returned error: 5\d\d\b|\bHTTPError: 5\d\d\b|\bERROR 5\d\d: `] } },
  { name: 'script-mistake', class: 'configuration', match: { messages: [
    raw`: line \d+: ([A-Za-z_]\w*: unbound variable$|syntax error\b|cd: .*: No such file or directory$)|^make: \*\*\* No rule to make target |^npm (ERR!|error) Missing script: `,
    raw`^[^ ]*python[\d.]*: can't open file '.*': \[Errno 2\]|^Error: Cannot find module '/`,
  ] } },
  { name: 'gave-up-waiting', class: 'timeout', match: { exitCodes: [124] } },
  { name: 'gave-up-waiting', class: 'timeout', match: { messages: [raw`^curl: \(28\) |\btimed out waiting for the condition\b|\bcontext deadline exceeded$|^([\w.]+\.)?(TimeoutError|ReadTimeout|ConnectTimeout)\b`] } },
  { name: 'no-connection-text', class: 'network', match: { messages: [
    raw`^curl: \((5|6|7|35|52|55|56)\) |^wget: unable to resolve host address|^ssh: (connect to host|Could not resolve hostname) |^fatal: unable to access '`,
    raw`\b(connect|read|write|getaddrinfo) (${connectionText})\b|^(Error: )?socket hang up$|^(TypeError: )?fetch failed$|\bdial tcp .*: (connect: connection refused|i/o timeout|no such host)`,
    raw`: (Temporary failure in name resolution|Name or service not known|Connection refused|Connection reset by peer|Connection timed out|No route to host|Network is unreachable)\.?$`,
  ] } },
]
