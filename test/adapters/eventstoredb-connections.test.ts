// How an EventStoreDB is found and spoken to: a node by name, a cluster by asking, and TLS with an authority of one's own.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ServerCredentials } from '@grpc/grpc-js'
import { expect, it, onTestFinished } from 'vitest'
import { awaitEventStoreDb } from '../../src/adapters/event-store/await-eventstoredb.ts'
import { checkEventStoreUrl, redactedEventStoreUrl } from '../../src/adapters/event-store/eventstoredb-url.ts'
import { anEvent } from '../contracts/event-store.ts'
import { silent } from '../support/engine.ts'
import { EventStoreDbServer } from '../support/eventstoredb/server.ts'
import { aServer } from '../support/eventstoredb/stores.ts'
import { obstacle, skipFor } from '../support/skip.ts'
import { eventsOf } from '../support/stores.ts'

async function expectToWork(url: string): Promise<void> {
  const store = await awaitEventStoreDb(url, { withinMs: 0, logger: silent })
  onTestFinished(() => store.close())
  await store.append('execution-a', 'noStream', [anEvent(), anEvent()])
  expect(await eventsOf(store, 'execution-a')).toHaveLength(2)
}

it('finds the leader by asking a node', async () => {
  const { port } = await aServer()
  await expectToWork(`esdb+discover://127.0.0.1:${port}?tls=false`)
})

it('finds the leader by asking several, some of which are away', async () => {
  const { port } = await aServer()
  await expectToWork(`esdb://127.0.0.1:1,127.0.0.1:${port}?tls=false`)
})

it('believes a server whose authority it was told, and no other', async (context) => {
  skipFor(obstacle('openssl', ['version']), context)
  const folder = mkdtempSync(join(tmpdir(), 'millrace-tls-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const [key, certificate] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
  const subject = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1']
  const made = spawnSync('openssl', [
    ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '1', '-keyout', key, '-out', certificate],
    ...subject,
  ])
  expect(made.status).toBe(0)
  const pair = { private_key: readFileSync(key), cert_chain: readFileSync(certificate) }
  const server = await EventStoreDbServer.start({ credentials: ServerCredentials.createSsl(null, [pair]) })
  onTestFinished(() => server.close())
  const url = `esdb://ada:p%40ss@127.0.0.1:${server.port}`
  await expectToWork(`${url}?tlsCaFile=${certificate}`)
  const refused = awaitEventStoreDb(url, { withinMs: 0, logger: silent })
  await expect(refused).rejects.toThrow(/self-signed certificate/)
  await expect(refused).rejects.toThrow(/^EventStoreDB at esdb:\/\/ada:\*\*\*@127\.0\.0\.1:\d+ cannot/)
})

it.each([
  'esdb://h',
  'esdb://h:2113/?tls=false',
  'esdb://ada:p%40ss@h1:1,h2:2,h3',
  'esdb+discover://ada:x@cluster.example:2113?tlsCaFile=/a/b.crt&keep_alive_interval=10000',
])('takes %s', (url) => {
  checkEventStoreUrl(url)
})

it.each([
  ['esdb://', /must be esdb/],
  ['esdb://ada:hunter2@', /must be esdb/],
  ['esdb://ada:hun@ter2@h', /must be esdb/],
  ['esdb://h:port', /must be esdb/],
  ['esdb://h?tls', /unknown, may not be set, or has no value/],
  ['esdb://h?throwOnAppendFailure=false', /may not be set/],
  ['esdb://h?defaultDeadline=1', /may not be set/],
  ['esdb://h?password=hunter2', /unknown/],
  ['esdb://ada:hunter2@h?tlsVerifyCert=false', /cannot turn off/],
])('refuses %s, and does not say it again', (url, why) => {
  expect(() => checkEventStoreUrl(url)).toThrow(why)
  expect(() => checkEventStoreUrl(url)).not.toThrow(/hunter2/)
})

it('shows URLs without what is secret', () => {
  expect(redactedEventStoreUrl('esdb+discover://ada:hunter2@h1:1,h2:2/?userKeyFile=secret')).toBe(
    'esdb+discover://ada:***@h1:1,h2:2',
  )
  expect(redactedEventStoreUrl('esdb://h?tls=false')).toBe('esdb://h')
})
