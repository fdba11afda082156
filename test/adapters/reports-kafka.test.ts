import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { createReader } from '../../src/adapters/kafka/reader.ts'
import type { KafkaSettings } from '../../src/adapters/kafka/url.ts'
import { connectReports, type SentReports, takeReports } from '../../src/adapters/reports/kafka.ts'
import { deadReportTopic, reportTopic } from '../../src/adapters/reports/messages.ts'
import { StoreUnavailable } from '../../src/ports/event-store.ts'
import type { ReportedWork, WorkerReport } from '../../src/ports/stage-reports.ts'
import { clientOf, ownTopics, put } from '../support/kafka-queues.ts'
import { quiet } from '../support/kafka-quiet.ts'
import type { Server } from '../support/server-process.ts'
import { findServer } from '../support/servers.ts'
import { skipFor } from '../support/skip.ts'

const found = await findServer('kafka')
const why = found.reason
const at = '2026-01-01T00:00:00.000Z'
const WITHIN = { timeout: 20_000 }

const workOf = (executionId: string, attempt = 1): ReportedWork => ({
  ...{ namespace: 'default', executionId, eventId: randomUUID(), stage: 'build', attempt },
})
const starting = (attempt = 1): WorkerReport => ({ type: 'StartStage', stage: 'build', attempt, worker: 'w', at })
const completing = (attempt = 1): WorkerReport => ({
  ...{ type: 'CompleteStage', stage: 'build', attempt, worker: 'w', at, output: { n: [1, null, 'ü'] } },
})

if (why !== undefined) it('reports travel over Kafka', (context) => skipFor(why, context))
else
  describe('reports over Kafka', () => {
    let broker: Server
    let settings: KafkaSettings
    let sent: SentReports
    let taken: string[]
    /** How often each run's reports were tried. */
    const tries = new Map<string, number>()
    /** What the log does about a report. */
    let take: (work: ReportedWork, report: WorkerReport) => Promise<void>
    beforeAll(async () => {
      broker = await found.start()
    })
    afterAll(() => broker.stop())
    beforeEach(async (t) => {
      settings = ownTopics(broker.url, 3)
      sent = await connectReports({ settings, logger: quiet })
      t.onTestFinished(() => sent.close())
      taken = []
      take = async () => {}
    })

    async function anEngine(sessionMs = 6_000, mostTries = 20) {
      return takeReports({
        ...{ settings, logger: quiet, sessionMs, mostTries },
        async report(work, report) {
          tries.set(work.executionId, (tries.get(work.executionId) ?? 0) + 1)
          await take(work, report)
          taken.push(`${work.executionId} ${report.type} ${report.attempt}`)
        },
        async news(workerId, { type }) {
          taken.push(`${workerId} ${type}`)
        },
      })
    }

    it('come whole, of one run in order, and what workers say of themselves as well', async () => {
      const run = randomUUID()
      const read: unknown[] = []
      take = async (...given) => void read.push(given)
      const [work, first, last] = [
        { ...workOf(run), traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01` },
        starting(),
        completing(),
      ]
      expect(await sent.reports.report(work, first)).toBe('sent')
      expect(await sent.reports.report(work, last)).toBe('sent')
      expect(await sent.registry.report('w', { type: 'StopWorker', interrupted: 0, at })).toBe('sent')
      const engine = await anEngine()
      await vi.waitFor(() => expect(taken).toHaveLength(3), WITHIN)
      expect(read).toEqual([
        [work, first],
        [work, last],
      ])
      expect(taken).toContain('w StopWorker')
      await engine.close()
    })

    it('of one run wait for each other, and those of another run do not wait for them', async () => {
      const [slow, fast] = [randomUUID(), randomUUID()]
      const gate = Promise.withResolvers<void>()
      take = ({ executionId }) => (executionId === slow ? gate.promise : Promise.resolve())
      const engine = await anEngine()
      for (const run of [slow, fast]) await sent.reports.report(workOf(run), starting())
      await sent.reports.report(workOf(slow), completing())
      await vi.waitFor(() => expect(taken).toEqual([`${fast} StartStage 1`]), WITHIN)
      gate.resolve()
      await vi.waitFor(
        () => expect(taken.slice(1)).toEqual([`${slow} StartStage 1`, `${slow} CompleteStage 1`]),
        WITHIN,
      )
      await engine.close()
    })

    it('are taken again where the log could not be written, and once they were taken by nobody else', async () => {
      const run = randomUUID()
      let failures = 2
      take = async () => {
        if (failures-- > 0) throw new Error('the log is away')
      }
      const first = await anEngine()
      await sent.reports.report(workOf(run), starting())
      await vi.waitFor(() => expect(taken).toHaveLength(1), WITHIN)
      await first.close()
      const second = await anEngine()
      await sent.reports.report(workOf(run), completing())
      await vi.waitFor(() => expect(taken).toEqual([`${run} StartStage 1`, `${run} CompleteStage 1`]), WITHIN)
      await second.close()
    })

    it('come to another engine where the first one ends before it has taken them', async () => {
      const run = randomUUID()
      let isAway = true
      take = async () => {
        if (isAway) throw new Error('the log is away')
      }
      const first = await anEngine()
      await sent.reports.report(workOf(run), starting())
      const ended = first.close()
      await ended
      expect(taken).toEqual([])
      isAway = false
      const second = await anEngine()
      await vi.waitFor(() => expect(taken).toEqual([`${run} StartStage 1`]), WITHIN)
      await second.close()
    })

    it('that cannot be taken, whatever the log says, are put aside in the end, and hold nobody up', async () => {
      const [odd, other] = [randomUUID(), randomUUID()]
      let isAway = true
      take = async ({ executionId }) => {
        if (executionId === odd) throw new TypeError('of undefined')
        if (isAway) throw new StoreUnavailable('the log is away', true)
      }
      const engine = await anEngine(6_000, 2)
      await sent.reports.report(workOf(odd), starting())
      await sent.reports.report(workOf(other), starting())
      const reader = createReader(settings, quiet)
      let reason = ''
      await vi.waitFor(
        () =>
          reader.read(deadReportTopic(settings.prefix), 0, 0, 1, ({ headers }) => {
            reason = String(headers.reason)
          }),
        WITHIN,
      )
      expect(reason).toBe('cannot be taken: of undefined')
      // That the log is away is no fault of the report, however long it takes.
      await vi.waitFor(() => expect(tries.get(other)).toBeGreaterThan(3), WITHIN)
      isAway = false
      await vi.waitFor(() => expect(taken).toEqual([`${other} StartStage 1`]), WITHIN)
      await reader.close()
      await engine.close()
    })

    it('that are none are put aside with the reason, and hold nobody up', async () => {
      const run = randomUUID()
      const head = { kind: 'report', version: '1' }
      const value = JSON.stringify({ work: workOf(run), report: starting() })
      const foreign = JSON.stringify({ work: workOf(run), report: { ...starting(), type: 'CancelExecution' } })
      await put(settings, reportTopic(settings.prefix), [
        { key: run, value: null, headers: head },
        { key: run, value: '{', headers: head },
        { key: run, value: foreign, headers: head },
        {
          key: run,
          value: JSON.stringify({ work: { ...workOf(run), traceparent: 5 }, report: starting() }),
          headers: head,
        },
        { key: run, value, headers: { ...head, version: '2' } },
        { key: randomUUID(), value, headers: head },
        { key: run, value: JSON.stringify({ work: workOf(run), report: starting(2) }), headers: head },
        { key: run, value, headers: head },
      ])
      const engine = await anEngine()
      await vi.waitFor(() => expect(taken).toEqual([`${run} StartStage 1`]), WITHIN)
      const reasons: string[] = []
      const reader = createReader(settings, quiet)
      await vi.waitFor(async () => {
        reasons.length = 0
        await reader.read(deadReportTopic(settings.prefix), 0, 0, 7, ({ headers }) =>
          reasons.push(String(headers.reason)),
        )
        expect(reasons).toHaveLength(7)
      }, WITHIN)
      expect(reasons.map((reason) => reason.replace(/"[^"]*"/g, '…')).sort()).toEqual([
        'malformed: no value',
        expect.stringMatching(/^malformed: report\/type: /),
        'malformed: the key is … and it is about …',
        'malformed: the report is about another attempt',
        expect.stringMatching(/^malformed: the value: /),
        'malformed: unknown version …',
        expect.stringMatching(/^malformed: work\/traceparent: /),
      ])
      await reader.close()
      await engine.close()
      // What was put aside is done: nothing is left for the next one.
      const admin = clientOf(settings).admin()
      await admin.connect()
      const topic = reportTopic(settings.prefix)
      const [committed] = await admin.fetchOffsets({ groupId: `${settings.prefix}.engines`, topics: [topic] })
      const ends = await admin.fetchTopicOffsets(topic)
      await admin.disconnect()
      for (const { partition, high } of ends.filter(({ high }) => Number(high) > 0))
        expect(committed!.partitions.find((one) => one.partition === partition)?.offset).toBe(high)
    })
  })
