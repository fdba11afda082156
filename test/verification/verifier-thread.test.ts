// The reading of a log in a thread of its own: it answers as one in this thread does, and ends when it is told to.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { EmbeddedEventStore } from '../../src/adapters/event-store/embedded.ts'
import { LOG_FILE } from '../../src/adapters/event-store/embedded-log.ts'
import { newId } from '../../src/commands/new-id.ts'
import { versionOf } from '../../src/domain/upcast.ts'
import { createCheckLog, type Told } from '../../src/verification/check-log.ts'
import { createThreadedCheck } from '../../src/verifier-thread.ts'
import { decidedLog } from '../support/decided-log.ts'
import { AT, completed, stage, started, workflow } from '../support/executions.ts'

const NOWHERE = 'postgres://nobody@127.0.0.1:1/nothing'

let data: string
beforeEach(async () => {
  data = await mkdtemp(join(tmpdir(), 'millrace-verifier-'))
})
afterEach(() => rm(data, { recursive: true }))

async function record(runs: number): Promise<EmbeddedEventStore> {
  const store = await EmbeddedEventStore.open(join(data, 'log'))
  const metadata = () => ({ namespace: 'default', correlationId: newId(), commandId: newId(), actor: 'user:ada' })
  for (let run = 0; run < runs; run++) {
    const stream = `execution-${newId()}`
    for (const events of decidedLog(workflow([stage('build')]), started('build'), completed('build'))) {
      const about = { at: AT, metadata: metadata() }
      await store.append(
        stream,
        'any',
        events.map(({ type, data }) => ({ ...about, id: newId(), type, version: versionOf(type), data })),
      )
    }
  }
  return store
}

const asked = (signal = new AbortController().signal, told: Told[] = []) => ({
  ...{ readModels: false, signal, tell: (one: Told) => void told.push(one) },
})

test('it answers what a reading in this thread answers', async () => {
  const store = await record(20)
  const told: Told[] = []
  const findings = await createThreadedCheck(
    { data, eventStore: undefined, archive: undefined, eventStoreWaitMs: 0 },
    NOWHERE,
  )(asked(undefined, told))
  expect(findings).toEqual(await createCheckLog(store, undefined)(asked()))
  expect(findings.events).toBe((await store.head()) + 1)
  expect(told.at(-1)).toEqual({ phase: 'comparing the read models', events: findings.events, of: findings.events })
  await store.close()
})

test('read models that cannot be reached are told of, and the log is checked all the same', async () => {
  const store = await record(3)
  const findings = await createThreadedCheck(
    { data, eventStore: undefined, archive: undefined, eventStoreWaitMs: 0 },
    NOWHERE,
  )({ ...asked(), readModels: true })
  expect(findings.notChecked).toEqual([expect.stringMatching(/^the read models: .*ECONNREFUSED/)])
  expect(findings.streams).toEqual({ open: 0, ended: 3 })
  await store.close()
})

test('it ends when it is told to, and the log can be read on', async () => {
  const store = await record(3)
  const stop = new AbortController()
  const check = createThreadedCheck(
    { data, eventStore: undefined, archive: undefined, eventStoreWaitMs: 0 },
    NOWHERE,
  )(asked(stop.signal))
  stop.abort(new Error('enough'))
  await expect(check).rejects.toThrow('enough')
  expect(await store.head()).toBeGreaterThan(0)
  await store.close()
})

test('a log that cannot be opened is an error of the check alone', async () => {
  await (await record(1)).close()
  await writeFile(join(data, 'log', LOG_FILE), 'this is no log')
  await expect(
    createThreadedCheck({ data, eventStore: undefined, archive: undefined, eventStoreWaitMs: 0 }, NOWHERE)(asked()),
  ).rejects.toThrow('event log')
})

test('an event that this program is too old for, and one that is none, are accused and do not end the check', async () => {
  const store = await record(2)
  const metadata = { namespace: 'default', correlationId: newId(), commandId: newId(), actor: 'user:ada' }
  const event = { id: newId(), type: 'StageTeleported', version: 1, at: AT, data: {}, metadata }
  await store.append('execution-a', 'any', [event])
  await store.append('execution-b', 'any', [{ ...event, id: newId(), type: 'ExecutionStarted', version: 3 }])
  const { violations, events, invariants } = await createCheckLog(store, undefined)(asked())
  expect(violations.items.map(({ invariant, stream }) => `${stream} ${invariant}`)).toEqual([
    'execution-a 38',
    'execution-b 38',
  ])
  expect(violations.items[0]!.what).toContain('does not know StageTeleported')
  expect(events).toBe((await store.head()) + 1)
  expect(invariants.find(({ number }) => number === 38)).toMatchObject({ violations: 2, events })
  await store.close()
})
