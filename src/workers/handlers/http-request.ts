/** A request as it goes out; redirects make new ones of it. `expect` is empty where any 2xx will do. */
export type Outgoing = {
  readonly url: URL
  readonly method: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | undefined
  readonly expect: readonly number[]
}

const SENSITIVE = /auth|cookie|token|secret|key|passw|signature|credential|session/i
const OF_THE_BODY = /^content-/i

/** The request that a redirect asks for (RFC 9110 §15.4). Credentials stay with the origin they were meant for. */
export function nextHop(from: Outgoing, status: number, url: URL): Outgoing {
  const becomesGet = (status === 303 && from.method !== 'HEAD') || (status <= 302 && from.method === 'POST')
  const leaves = url.origin !== from.url.origin
  const headers = Object.entries(from.headers).filter(
    ([name]) => !(leaves && SENSITIVE.test(name)) && !(becomesGet && OF_THE_BODY.test(name)),
  )
  return {
    ...from,
    url,
    headers: Object.fromEntries(headers),
    ...(becomesGet ? { method: 'GET', body: undefined } : {}),
  }
}

/** Takes the values of sensitive headers out of a text: servers like to quote what they refuse. */
export function redactor({ headers }: Outgoing): (text: string) => string {
  const secrets = Object.entries(headers)
    .filter(([name]) => SENSITIVE.test(name))
    // `Bearer x` is as secret as the `x` in it.
    .flatMap(([, value]) => [value, ...value.split(/[\s;,=]+/)])
    .filter((secret) => secret.length >= 6)
    .sort((a, b) => b.length - a.length)
  return (text) => secrets.reduce((clean, secret) => clean.replaceAll(secret, '[redacted]'), text)
}
