import { beforeEach, describe, expect, it } from 'vitest'
import { createReportIntake } from '../../src/commands/report-intake.ts'
import type { ReportedWork, WorkerReport } from '../../src/ports/stage-reports.ts'

const at = '2026-01-01T00:00:00.000Z'
const work: ReportedWork = {
  ...{ namespace: 'default', executionId: 'run', eventId: 'e', stage: 'build', attempt: 2 },
  traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
}
const about = { stage: 'build', attempt: 2, worker: 'w', at }
const start: WorkerReport = { type: 'StartStage', ...about }
const checkpoint: WorkerReport = { type: 'CheckpointStage', ...about, sequence: 1, state: null }
const complete: WorkerReport = { type: 'CompleteStage', ...about, output: null }
const fail: WorkerReport = { type: 'FailStage', ...about, error: { code: 'E', message: 'm' } }

let log: 'accepted' | 'refused' | Error
let isAway: boolean
let done: string[]
let warnings: object[]
beforeEach(() => {
  log = 'accepted'
  isAway = false
  done = []
  warnings = []
})

function take(report: WorkerReport): Promise<void> {
  const does =
    (what: string) =>
    async (...given: readonly string[]) => {
      if (isAway) throw new Error('out of reach')
      done.push([what, ...given].join(' '))
    }
  const intake = createReportIntake({
    reports: {
      async report() {
        if (log instanceof Error) throw log
        return log
      },
    },
    leases: { confirm: does('confirm'), release: does('release'), revoke: does('revoke') },
    logger: {
      info: () => {},
      warn: ({ err: _, ...about }: { err?: unknown }, message) => void warnings.push({ ...about, message }),
      error: () => {},
    },
  })
  return intake(work, report)
}

describe('a worker that has sent a report hears by its lease', () => {
  it.each([
    ['that it has begun', start, 'accepted', ['confirm run:build:2 w']],
    ['that it may not begin', start, 'refused', ['revoke run:build:2']],
    ['nothing of a checkpoint that was taken', checkpoint, 'accepted', []],
    ['that it is the current one no more', checkpoint, 'refused', ['revoke run:build:2']],
    ['that its outcome was taken', complete, 'accepted', ['release run:build:2 w']],
    ['that its outcome came too late', complete, 'refused', ['release run:build:2 w']],
    ['that its failure was taken', fail, 'accepted', ['release run:build:2 w']],
  ] as const)('%s', async (_, report, answer, expected) => {
    log = answer
    await take(report)
    expect(done).toEqual(expected)
  })

  it('nothing where the log could not be written: the report comes again', async () => {
    log = new Error('the log is away')
    await expect(take(complete)).rejects.toThrow('the log is away')
    expect(done).toEqual([])
  })

  it('later, where the leases are away: runs go on without', async () => {
    isAway = true
    await take(complete)
    expect(warnings).toEqual([
      {
        execution: 'run',
        stage: 'build',
        attempt: 2,
        trace: '0af7651916cd43dd8448eb211c80319c',
        worker: 'w',
        message: 'a lease cannot be given up now',
      },
    ])
  })
})
