// That nothing a script started outlives it, with real process groups.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import type { StopReason } from '../../src/ports/handler.ts'
import { reapLeftovers } from '../../src/workers/handlers/processes.ts'
import { shellStage, shellStages } from '../support/shell-stage.ts'
import { stageFailure } from '../support/stage-failure.ts'

const procIsHere = existsSync('/proc/self/environ')

const pidIn = (path: string): Promise<number> =>
  vi.waitFor(
    () => {
      const pid = Number(readFileSync(path, 'utf8').trim())
      expect(pid).toBeGreaterThan(1)
      return pid
    },
    { timeout: 10_000, interval: 20 },
  )

/** A zombie doesn't live: whether its parent reaps it is not the handler's business. */
function lives(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return !procIsHere || !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))
  } catch {
    return false
  }
}

describe('stopping', () => {
  it.each<[StopReason, string]>([
    ['cancelled', 'CANCELLED'],
    ['timeout', 'TIMED_OUT'],
    ['lease-lost', 'LEASE_LOST'],
    ['shutdown', 'SHUTDOWN'],
  ])('on %s ends the script and its children and says %s', async (reason, code) => {
    const { run, stop, workspace } = shellStage(
      `bash -c 'sleep 1000 & echo $! > grandchild; wait' & echo $! > child; wait`,
    )
    const running = stageFailure(run())
    const pids = await Promise.all([pidIn(join(workspace, 'child')), pidIn(join(workspace, 'grandchild'))])
    expect(pids.map(lives)).toEqual([true, true])
    stop(reason)
    expect((await running).code).toBe(code)
    expect(pids.map(lives)).toEqual([false, false])
  })

  it('lets a script clean up', async () => {
    const { run, stop, workspace, lines } = shellStage(
      `trap 'echo cleaned; exit 0' TERM; echo $$ > pid; while :; do sleep 0.05; done`,
    )
    const running = stageFailure(run())
    await pidIn(join(workspace, 'pid'))
    stop('cancelled')
    expect((await running).code).toBe('CANCELLED')
    expect(lines).toContainEqual({ stream: 'stdout', text: 'cleaned' })
  })

  it('kills what ignores SIGTERM once its grace is over', async () => {
    const script = `trap '' TERM; (echo $BASHPID > child; exec sleep 1000) & echo $$ > leader; while :; do sleep 0.05; done`
    const { run, stop, workspace } = shellStage({ run: script, grace: '0.3s' })
    const running = stageFailure(run())
    const pids = await Promise.all([pidIn(join(workspace, 'child')), pidIn(join(workspace, 'leader'))])
    const asked = performance.now()
    stop('timeout')
    expect((await running).code).toBe('TIMED_OUT')
    expect(performance.now() - asked).toBeGreaterThanOrEqual(295)
    expect(pids.map(lives)).toEqual([false, false])
  })

  it.runIf(procIsHere)('reaches a script that is stopped', async () => {
    const { run, stop, workspace, lines } = shellStage(`trap 'echo cleaned; exit 0' TERM; echo $$ > pid; kill -STOP $$`)
    const running = stageFailure(run())
    const pid = await pidIn(join(workspace, 'pid'))
    await vi.waitFor(() => expect(readFileSync(`/proc/${pid}/stat`, 'latin1')).toMatch(/\) T /), { timeout: 10_000 })
    stop('cancelled')
    expect((await running).code).toBe('CANCELLED')
    expect(lines).toContainEqual({ stream: 'stdout', text: 'cleaned' })
    expect(lives(pid)).toBe(false)
  })

  it('starts nothing when it was asked to stop before', async () => {
    const { run, stop, workspace } = shellStage('touch ran')
    stop('shutdown')
    expect((await stageFailure(run())).code).toBe('SHUTDOWN')
    expect(existsSync(join(workspace, 'ran'))).toBe(false)
  })
})

describe('nothing is left behind', () => {
  it('when a script leaves a child in the background', async () => {
    const { run, workspace } = shellStage('sleep 1000 & echo $! > pid')
    await run()
    expect(lives(await pidIn(join(workspace, 'pid')))).toBe(false)
  })

  it('when such a child threw its environment away', async () => {
    const { run, workspace } = shellStage('env -i sleep 1000 & echo $! > pid')
    await run()
    expect(lives(await pidIn(join(workspace, 'pid')))).toBe(false)
  })

  it.runIf(procIsHere)('when a child makes itself a daemon in a session of its own', async () => {
    const daemon = `setsid bash -c 'echo $$ > daemon; exec sleep 1000' < /dev/null & until [ -s daemon ]; do sleep 0.01; done`
    const { run, workspace } = shellStage(daemon)
    await run()
    expect(lives(await pidIn(join(workspace, 'daemon')))).toBe(false)
  })

  it.runIf(procIsHere)('and the attempts of others live on', async () => {
    const { prepare } = shellStages()
    const other = prepare('echo $$ > other; exec sleep 1000', { stage: 'other' })
    const running = stageFailure(other.run())
    const pid = await pidIn(join(other.workspace, 'other'))
    await prepare('true').run()
    expect(lives(pid)).toBe(true)
    other.stop('cancelled')
    expect((await running).code).toBe('CANCELLED')
  })

  it.runIf(procIsHere)('after the program was killed and started again', async () => {
    const fixture = join(import.meta.dirname, '../support/shell-until-killed.ts')
    const script = `setsid bash -c 'echo $$ > daemon; exec sleep 1000' & (trap '' TERM; echo $BASHPID > child; sleep 1000; true) & echo $$ > leader; wait`
    const { workDir, instance, workspace } = shellStage('true')
    const program = spawn(process.execPath, [fixture, workDir, instance, script], { stdio: 'inherit' })
    const pids = await Promise.all(['daemon', 'child', 'leader'].map((name) => pidIn(join(workspace, name))))
    program.kill('SIGKILL')
    await once(program, 'exit')
    expect(pids.map(lives)).toEqual([true, true, true])
    expect(await reapLeftovers('somebody-else')).toBe(0)
    expect(pids.map(lives)).toEqual([true, true, true])
    expect(await reapLeftovers(instance)).toBeGreaterThanOrEqual(3)
    expect(pids.map(lives)).toEqual([false, false, false])
    expect(await reapLeftovers(instance)).toBe(0)
  })
})
