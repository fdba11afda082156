// The key that exports of the audit are signed with: a file of the data folder, made when it is first needed.
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { link, readFile, rm, writeFile } from 'node:fs/promises'
import type { Signer } from '../ports/signer.ts'

/** The file is there and is no private key of Ed25519. */
export class AuditKeyUnusable extends Error {}

/** Reads the key, PKCS #8 in PEM; where there is none, makes it. @throws AuditKeyUnusable */
export async function openSigner(file: string): Promise<Signer> {
  return signerOf(readKey(await readOrMake(file), file))
}

async function readOrMake(file: string): Promise<string> {
  const known = await read(file)
  if (known !== undefined) return known
  const { privateKey } = generateKeyPairSync('ed25519')
  const unfinished = `${file}.${process.pid}`
  await writeFile(unfinished, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600, flush: true })
  // Of two processes the first gives the key to both, and neither reads half of one.
  await link(unfinished, file).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error
  })
  await rm(unfinished, { force: true })
  return readFile(file, 'utf8')
}

async function read(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new AuditKeyUnusable(`the audit key ${file} cannot be read: ${(error as Error).message}`)
  }
}

function readKey(pem: string, file: string): KeyObject {
  let key: KeyObject
  try {
    key = createPrivateKey(pem)
  } catch {
    throw new AuditKeyUnusable(`${file} holds no private key; it has to be one of Ed25519, PKCS #8 in PEM`)
  }
  if (key.asymmetricKeyType !== 'ed25519')
    throw new AuditKeyUnusable(`${file} holds a key of ${key.asymmetricKeyType}, not of Ed25519`)
  return key
}

export function signerOf(key: KeyObject): Signer {
  const publicKey = createPublicKey(key)
  const der = publicKey.export({ type: 'spki', format: 'der' })
  return {
    keyId: createHash('sha256').update(der).digest('hex').slice(0, 16),
    publicKey: publicKey.export({ type: 'spki', format: 'pem' }) as string,
    sign: (text) => sign(null, Buffer.from(text), key).toString('hex'),
  }
}
