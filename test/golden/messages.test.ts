// Messages between processes as they were released. In an installation that is being renewed old and new processes work side by side: what the
// one writes the other reads. So a message of a new version is read by one release and written by the next.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { StoredRecord } from '../../src/adapters/kafka/client.ts'
import type { Outgoing } from '../../src/adapters/kafka/sender.ts'
import { newsMessage, parse as parseReport, reportMessage } from '../../src/adapters/reports/messages.ts'
import { type Lines, linesMessage, parseLines } from '../../src/adapters/stage-logs/messages.ts'
import { parse as parseWork, withdrawal, workMessage } from '../../src/adapters/work-queue/kafka-message.ts'
import type { Work } from '../../src/domain/execution/work.ts'
import type { ReportedWork, WorkerReport } from '../../src/ports/stage-reports.ts'
import type { WorkerNews } from '../../src/ports/worker-registry.ts'

/** What it was made of, and the record that was written. */
type Released = { readonly record: Outgoing & { readonly value: string | null } } & (
  | { readonly kind: 'work'; readonly given: Work }
  | { readonly kind: 'withdrawn'; readonly given: string }
  | { readonly kind: 'report'; readonly given: { readonly work: ReportedWork; readonly report: WorkerReport } }
  | { readonly kind: 'lines'; readonly given: Lines }
  | { readonly kind: 'news'; readonly given: { readonly workerId: string; readonly news: WorkerNews } }
)

const released = ['kafka', 'kafka-logs'].flatMap(
  (name) => JSON.parse(readFileSync(join(import.meta.dirname, `messages/${name}.v1.json`), 'utf8')) as Released[],
)
const PREFIX = 'millrace'

function written({ kind, given, record }: Released): Outgoing | undefined {
  const nowMs = Number(record.timestamp)
  if (kind === 'work') return workMessage(PREFIX, given, nowMs)
  if (kind === 'withdrawn') return withdrawal(record.topic, given, nowMs)
  if (kind === 'lines') return linesMessage(PREFIX, given)
  if (kind === 'report') return reportMessage(PREFIX, given.work, given.report)
  return newsMessage(PREFIX, given.workerId, given.news)
}

/** As the brokers give it back. */
function stored({ key, value, headers = {}, timestamp = '0' }: Outgoing): StoredRecord {
  const buffer = (text: unknown) => Buffer.from(String(text))
  return {
    offset: '0',
    key: buffer(key),
    value: value === null ? null : buffer(value),
    headers: Object.fromEntries(Object.entries(headers).map(([name, text]) => [name, buffer(text)])),
    timestamp,
  }
}

const read = ({ kind, record: { topic } }: Released, record: StoredRecord) =>
  kind === 'lines'
    ? { kind, lines: parseLines(record) }
    : kind === 'work' || kind === 'withdrawn'
      ? parseWork(record, PREFIX, topic)
      : parseReport(record)

function meant({ kind, given, record }: Released) {
  if (kind === 'work') return { kind, work: given, bytes: record.value!.length }
  if (kind === 'withdrawn') return { kind, id: given }
  if (kind === 'lines') return { kind, lines: given }
  return { kind, ...given }
}

const nameOf = ({ kind, given }: Released) =>
  kind === 'report' ? given.report.type : kind === 'news' ? given.news.type : kind

describe.each(released.map((one) => ({ name: nameOf(one), one })))('$name', ({ one }) => {
  it('is read as it was meant', () => {
    expect(read(one, stored(one.record))).toEqual(meant(one))
  })

  it('is written as it was, so that processes of the last release read it', () => {
    expect(written(one)).toEqual(one.record)
  })

  it('is read also where a later release says more', () => {
    const { value, headers } = one.record
    const more = value === null ? null : JSON.stringify({ ...JSON.parse(value), later: { than: 'this' } })
    const record = stored({ ...one.record, value: more, headers: { ...headers, later: 'too' } })
    expect(read(one, record)).toMatchObject({ kind: one.kind })
  })
})

it('there is one of every kind that a worker says', () => {
  const names = new Set(released.map(nameOf))
  const all: readonly (WorkerReport['type'] | WorkerNews['type'])[] = [
    ...(['StartStage', 'CheckpointStage', 'CompleteStage', 'FailStage', 'StopStage', 'LoseStage'] as const),
    ...(['RegisterWorker', 'DrainWorker', 'StopWorker'] as const),
  ]
  expect(all.filter((name) => !names.has(name))).toEqual([])
})
