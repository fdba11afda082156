// Lines that travel: over a real broker, into a real table.
import { randomUUID } from 'node:crypto'
import type { Pool } from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { systemClock } from '../../src/adapters/clock.ts'
import type { KafkaSettings } from '../../src/adapters/kafka/url.ts'
import { connectSentLogs, takeStageLogs } from '../../src/adapters/stage-logs/kafka.ts'
import { ATTEMPT_LIMIT_BYTES, LIMIT_NOTICE } from '../../src/adapters/stage-logs/limits.ts'
import { logTopic } from '../../src/adapters/stage-logs/messages.ts'
import { putLines, withTable } from '../../src/adapters/stage-logs/table.ts'
import type { StageLogs } from '../../src/ports/stage-logs.ts'
import { ownTopics, put } from '../support/kafka-queues.ts'
import { quiet } from '../support/kafka-quiet.ts'
import { startTestPostgres, type TestPostgres } from '../support/postgres.ts'
import type { Server } from '../support/server-process.ts'
import { findServer } from '../support/servers.ts'
import { skipFor } from '../support/skip.ts'

const found = await findServer('kafka')
const why = found.reason
const WITHIN = { timeout: 20_000 }

if (why !== undefined) it('lines of stages travel over Kafka', (context) => skipFor(why, context))
else
  describe('lines of stages over Kafka', () => {
    let broker: Server
    let postgres: TestPostgres
    let pool: Pool
    let settings: KafkaSettings
    let sent: StageLogs & { close(): Promise<void> }
    let logs: StageLogs
    beforeAll(async () => {
      ;[broker, postgres] = await Promise.all([found.start(), startTestPostgres()])
      ;({ pool } = await postgres.createReadModels())
    })
    afterAll(async () => {
      await pool.end()
      await Promise.all([broker.stop(), postgres.stop()])
    })
    beforeEach(async (t) => {
      settings = ownTopics(broker.url, 3)
      sent = await connectSentLogs({ settings, logger: quiet, clock: systemClock })
      t.onTestFinished(() => sent.close())
      logs = withTable(sent, pool)
    })

    const taking = async (t: { onTestFinished(close: () => Promise<void>): void }, putting = putLines) => {
      const taken = await takeStageLogs({
        settings,
        logger: quiet,
        sessionMs: 6_000,
        put: (some) => putting(pool, some),
      })
      t.onTestFinished(() => taken.close())
      return taken
    }
    const write = async (run: string, texts: readonly string[], attempt = 1) => {
      const writer = logs.open(run, 'build', attempt)
      for (const text of texts) writer.write('stdout', text)
      await writer.close()
    }
    const textsOf = async (run: string, options?: { after?: number; limit?: number }, attempt = 1) =>
      (await logs.read(run, 'build', attempt, options)).map(({ text }) => text)

    it('come whole and in order, by attempt, in pages', async (t) => {
      await taking(t)
      const run = randomUUID()
      const texts = Array.from({ length: 250 }, (_, n) => `line ${n} ü\0"\u{1F600}`)
      await write(run, texts)
      await write(run, ['again'], 2)
      const shown = texts.map((text) => text.replace('\0', '\ufffd'))
      await vi.waitFor(async () => expect(await textsOf(run)).toEqual(shown), WITHIN)
      await vi.waitFor(async () => expect(await textsOf(run, {}, 2)).toEqual(['again']), WITHIN)
      expect(await textsOf(run, { after: 100, limit: 2 })).toEqual(shown.slice(100, 102))
      expect(await logs.read(run, 'build', 1, { limit: 1 })).toEqual([
        { line: 1, at: expect.stringMatching(/^\d{4}-/), stream: 'stdout', text: shown[0] },
      ])
      await logs.remove(run)
      expect(await textsOf(run)).toEqual([])
      expect(await textsOf(run, {}, 2)).toEqual([])
    })

    it('are put there once however often they are taken, and wait for a database that is away', async (t) => {
      const run = randomUUID()
      await write(run, ['one', 'two'])
      let tries = 0
      const first = await taking(t, async (into, some) => {
        await putLines(into, some)
        // As when the answer is lost.
        if (++tries < 3) throw new Error('connection lost')
      })
      await vi.waitFor(() => expect(tries).toBeGreaterThanOrEqual(3), WITHIN)
      await first.close()
      await taking(t)
      await write(run, ['three'], 2)
      await vi.waitFor(async () => expect(await textsOf(run, {}, 2)).toEqual(['three']), WITHIN)
      expect(await textsOf(run)).toEqual(['one', 'two'])
    })

    it('end with a notice where an attempt writes too much', async (t) => {
      await taking(t)
      const run = randomUUID()
      const long = 'x'.repeat(60_000)
      await write(
        run,
        Array.from({ length: Math.ceil(ATTEMPT_LIMIT_BYTES / long.length) + 5 }, () => long),
      )
      await vi.waitFor(async () => expect((await textsOf(run)).at(-1)).toBe(LIMIT_NOTICE), WITHIN)
      const lines = await logs.read(run, 'build', 1)
      expect(lines.map(({ line }) => line)).toEqual(lines.map((_, at) => at + 1))
      expect(lines.reduce((sum, { text }) => sum + text.length, 0)).toBeLessThanOrEqual(ATTEMPT_LIMIT_BYTES)
    })

    it('that are none are passed over, and hold nobody up', async (t) => {
      const run = randomUUID()
      const good = { executionId: run, stage: 'build', attempt: 1, lines: [] }
      const line = { line: 1, at: '2026-01-01T00:00:00.000Z', stream: 'stdout', text: 'x' }
      const headers = { version: '1' }
      const values = [
        { value: 'no json', headers },
        { value: JSON.stringify(good), headers: { version: '9' } },
        { value: JSON.stringify({ ...good, stage: '../../etc' }), headers },
        { value: JSON.stringify({ ...good, attempt: 0 }), headers },
        { value: JSON.stringify({ ...good, lines: [{ ...line, stream: 'other' }] }), headers },
        { value: JSON.stringify({ ...good, lines: [{ ...line, line: 2 ** 40 }] }), headers },
        { value: JSON.stringify({ ...good, lines: [line] }), headers, key: randomUUID() },
        { value: null, headers },
      ]
      await put(
        settings,
        logTopic(settings.prefix),
        values.map((message) => ({ key: run, partition: 0, ...message })),
      )
      await put(settings, logTopic(settings.prefix), [
        { key: run, partition: 0, headers, value: JSON.stringify({ ...good, lines: [{ ...line, text: 'good' }] }) },
      ])
      await taking(t)
      await vi.waitFor(async () => expect(await textsOf(run)).toEqual(['good']), WITHIN)
    })
  })
