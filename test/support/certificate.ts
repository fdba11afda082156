// A certificate that signs itself, for servers of tests that speak TLS.
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'

export type Certificate = { readonly cert: string; readonly key: string }

/** The paths of certificate and key of 127.0.0.1, made in the folder. */
export async function makeCertificate(folder: string): Promise<Certificate> {
  const cert = join(folder, 'server.crt')
  const key = join(folder, 'server.key')
  const names = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1']
  const made = ['req', '-new', '-x509', '-days', '2', '-nodes', ...names, '-keyout', key, '-out', cert]
  await promisify(execFile)('openssl', made)
  return { cert, key }
}
