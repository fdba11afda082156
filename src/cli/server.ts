// A Millrace that runs, as the commands that talk to one reach it.
import { stripVTControlCharacters } from 'node:util'

/** `--url` is no address of a server. */
export class BadAddress extends Error {}
/** There is no such server, or what answers is none of ours. */
export class ServerUnreachable extends Error {}
/** The server is there and cannot do it now, or not to the end. */
export class ServerBusy extends Error {}
/** What was asked for is not there, or not as it would have to be. */
export class Refused extends Error {}

/** @param body JSON, or a text of YAML @throws BadAddress | Refused | ServerBusy | ServerUnreachable */
export async function ask(
  method: 'GET' | 'POST' | 'PUT',
  url: string,
  path: string,
  body?: object | string,
): Promise<Response> {
  const response = await send(method, addressOf(url, path), body, url)
  if (!response.ok || response.body === null) throw await refusalOf(response, url)
  return response
}

function addressOf(url: string, path: string): URL {
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  if (parsed === undefined || !/^https?:$/.test(parsed.protocol))
    throw new BadAddress(`--url ${url}: expected an address such as http://127.0.0.1:8080`)
  return new URL(path, parsed)
}

async function send(method: string, address: URL, body: object | string | undefined, url: string): Promise<Response> {
  try {
    const isText = typeof body === 'string'
    const headers = { 'content-type': isText ? 'application/yaml' : 'application/json' }
    const sent = isText ? body : JSON.stringify(body)
    return await fetch(address, { method, ...(sent === undefined ? {} : { headers, body: sent }) })
  } catch (error) {
    const { code, message = 'no answer' } = ((error as Error).cause ?? error) as { code?: string; message?: string }
    const why = code ?? message
    throw new ServerUnreachable(
      `cannot reach Millrace at ${url} (${why}); start it there, or say where it is with --url`,
    )
  }
}

/** A problem says what stands in the way; an answer of anything else says that this is no Millrace. */
async function refusalOf(response: Response, url: string): Promise<Error> {
  const problem = (await response.json().catch(() => undefined)) as { detail?: unknown; code?: unknown } | undefined
  const detail = typeof problem?.detail === 'string' ? problem.detail : undefined
  const { status } = response
  if (detail !== undefined && [429, 503].includes(status)) return new ServerBusy(`${url} answered ${status}: ${detail}`)
  const known = typeof problem?.code === 'string' && problem.code !== 'NOT_FOUND'
  if (detail !== undefined && known && [400, 404, 409, 422].includes(status)) return new Refused(plain(detail))
  return new ServerUnreachable(
    `${url} answered ${status}${detail === undefined ? '' : `: ${detail}`}; is it a Millrace of this version?`,
  )
}

/** What the server tells must not steer the terminal that shows it. */
export const plain = (text: string): string => stripVTControlCharacters(text).replaceAll(/\p{Cc}/gu, ' ')

export const grouped = (count: number): string => count.toLocaleString('en-US')

/** One line that is written over, and only where somebody looks. */
export function createMeter() {
  const { stderr } = process
  const isSeen = stderr.isTTY === true
  const write = (text: string): void => void (isSeen && stderr.write(`\r\u001b[K${text}`))
  return { show: (text: string): void => write(plain(text)), clear: (): void => write('') }
}
