// `millrace audit`: fetches exports and keys from a running Millrace, and verifies an export without one.
import { createReadStream, createWriteStream } from 'node:fs'
import { readFile, rm } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { AuditChain, type AuditVerdict, type KnownCheckpoint } from './audit-chain.ts'
import { ask, grouped, plain, Refused } from './server.ts'

type At = { readonly url: string; readonly namespace: string }

const LINE_END = 0x0a
/** No record is as long. */
const MOST_LINE = 16_000_000

const pathOf = (namespace: string, what: string): string => `/v1/${encodeURIComponent(namespace)}/audit/${what}`

/** Writes the chain of a namespace to a file, or to where the output goes. */
export async function exportAudit({ url, namespace, from, out }: At & { from?: string; out?: string }): Promise<void> {
  const query = from === undefined ? '' : `?from=${encodeURIComponent(from)}`
  const response = await ask('GET', url, pathOf(namespace, `export${query}`))
  const lines = Readable.fromWeb(response.body as never)
  if (out === undefined) await pipeline(lines, process.stdout, { end: false })
  else await writeNew(out, lines)
}

/** All of it or nothing: what breaks off leaves no file. */
async function writeNew(file: string, lines: Readable): Promise<void> {
  try {
    await pipeline(lines, createWriteStream(file, { flags: 'wx' }))
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') throw new Refused(`${file} is there already`)
    await rm(file, { force: true })
    throw new Refused(`${file}: ${message}`)
  }
}

/** Prints where the chain ends, signed: to be kept elsewhere. */
export async function printCheckpoint({ url, namespace }: At): Promise<void> {
  console.log(plain(await (await ask('GET', url, pathOf(namespace, 'checkpoint'))).text()))
}

/** Prints the public key as PEM. */
export async function printKey({ url }: Pick<At, 'url'>): Promise<void> {
  const { publicKey } = (await (await ask('GET', url, '/v1/admin/audit/key')).json()) as { publicKey: string }
  console.log(publicKey.trimEnd())
}

/** Answers the exit code: 0 where every record is as it was, 1 where one is not. */
export async function verifyAudit(
  file: string,
  { key, checkpoint = [] }: { readonly key?: string; readonly checkpoint?: readonly string[] },
): Promise<number> {
  const publicKey = key === undefined ? undefined : await readText(key)
  const known = await Promise.all(checkpoint.map(readCheckpoint))
  let chain: AuditChain
  try {
    chain = new AuditChain({ known, ...(publicKey === undefined ? {} : { publicKey }) })
  } catch (error) {
    throw new Refused(`${key} is no public key of Ed25519 in PEM: ${(error as Error).message}`)
  }
  const verdict = await verdictOn(file, chain)
  for (const { line, what } of verdict.faults) console.log(plain(`${file}:${line}: ${what}`))
  console.log(plain(summary(verdict, key !== undefined)))
  return verdict.faults.length === 0 ? 0 : 1
}

async function verdictOn(file: string, chain: AuditChain): Promise<AuditVerdict> {
  try {
    return await verifyLines(createReadStream(file), chain)
  } catch (error) {
    throw new Refused(`${file} cannot be read: ${(error as Error).message}`)
  }
}

/** Takes lines apart by bytes: what is no text is not to be made one. */
export async function verifyLines(bytes: AsyncIterable<Buffer>, chain: AuditChain): Promise<AuditVerdict> {
  let rest: Buffer = Buffer.alloc(0)
  for await (const chunk of bytes) {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    let begin = 0
    for (let end = rest.indexOf(LINE_END); end !== -1; end = rest.indexOf(LINE_END, begin)) {
      chain.take(rest.subarray(begin, end))
      begin = end + 1
    }
    rest = rest.subarray(begin)
    if (rest.length > MOST_LINE) break
  }
  if (rest.length > 0) chain.take(rest)
  return chain.end(rest.length === 0)
}

function summary({ faults, namespace, from, to, signedAt }: AuditVerdict, withKey: boolean): string {
  const records = `${grouped(Math.max(0, to - from + 1))} records of ${namespace} (${from} to ${to})`
  if (faults.length > 0) return `not as it was: ${faults.length} faults in ${records}`
  if (signedAt !== undefined) return `verified: ${records}, complete as of ${signedAt}`
  return `verified: ${records}; ${withKey ? 'not signed' : 'whether the end was cut only a key can tell (--key)'}`
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    throw new Refused(`${file} cannot be read: ${(error as Error).message}`)
  }
}

async function readCheckpoint(file: string): Promise<KnownCheckpoint> {
  const text = await readText(file)
  try {
    const { namespace, sequence, hash } = (JSON.parse(text) as { checkpoint: KnownCheckpoint }).checkpoint
    if (typeof namespace === 'string' && Number.isSafeInteger(sequence) && typeof hash === 'string')
      return { namespace, sequence, hash }
  } catch {
    // Said below.
  }
  throw new Refused(`${file} holds no checkpoint, as \`millrace audit checkpoint\` prints it`)
}
