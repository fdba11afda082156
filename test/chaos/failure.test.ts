// What the program says and does when it cannot go on, or cannot write for now.
import { spawnSync } from 'node:child_process'
import { mkdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterEach, describe, expect, it } from 'vitest'
import { LOG_FILE } from '../../src/adapters/event-store/embedded-log.ts'
import { makeHome } from '../support/program.ts'
import { endPrograms, run } from '../support/programs.ts'
import { obstacle, skipFor } from '../support/skip.ts'

const workflow = { name: 'later', stages: { later: { uses: 'wait', with: { duration: '1h' } } } }

async function send(url: string, method: string, body?: unknown) {
  const headers = { 'content-type': 'application/json' }
  const content = body === undefined ? {} : { headers, body: JSON.stringify(body) }
  const response = await fetch(url, { method, ...content })
  return {
    status: response.status,
    answer: (await response.json()) as { id: string; position: string; detail: string },
  }
}

const register = async (url: string): Promise<void> => {
  expect((await send(`${url}/v1/default/workflows/later`, 'PUT', workflow)).status).toBe(201)
}

/** Starts runs one after another until one is not answered 202; answers the ids of the others, and that answer. */
async function startUntilRefused(url: string, text = '') {
  const ids: string[] = []
  for (;;) {
    // A program that has ended answers nothing.
    const response = await send(`${url}/v1/default/executions`, 'POST', { workflow: 'later', input: { text } }).catch(
      () => undefined,
    )
    if (response?.status !== 202) return { ids, response }
    ids.push(response.answer.id)
  }
}

async function expectAllThere(url: string, ids: readonly string[]): Promise<void> {
  for (const id of ids) expect((await send(`${url}/v1/default/executions/${id}/state`, 'GET')).status).toBe(200)
}

/** What the program says to people; the other lines are its log. */
const said = (stderr: string): readonly string[] => stderr.split('\n').filter((line) => line.startsWith('millrace: '))

afterEach(endPrograms)

it('a disk that fails to sync ends the program with 74 and a line, and the next start has what was acknowledged', async (t) => {
  const home = await makeHome(t)
  const failing = home.start()
  const url = await failing.ready
  await register(url)
  // Of the program's threads only the log's writer syncs that file. One sync fails, those after it would succeed.
  const wal = join(realpathSync(home.data), 'log', `${LOG_FILE}-wal`)
  const flags = ['-f', '-o', join(home.effects, 'trace'), '-P', wal, '-e', 'trace=fsync,fdatasync']
  skipFor(obstacle('strace', [...flags, 'true']), t)
  const strace = run('strace', [
    ...flags,
    ...['-e', 'inject=fsync,fdatasync:error=EIO:when=20'],
    ...['-p', String(failing.pid)],
  ])
  await strace.untilErrors((lines) => lines.some((line) => line.includes('attached')))
  const { ids, response } = await startUntilRefused(url)
  expect(response?.status ?? 503).toBe(503)
  expect(ids.length).toBeGreaterThan(5)
  expect(await failing.ended, failing.stderr()).toEqual({ code: 74, signal: null })
  expect(said(failing.stderr())).toEqual([
    'millrace: the event log cannot be trusted after an error while writing it: disk I/O error; only a new start tells what the disk holds',
  ])

  const next = home.start()
  const again = await next.ready
  await expectAllThere(again, ids)
  expect((await send(`${again}/v1/default/executions`, 'POST', { workflow: 'later' })).status).toBe(202)
  expect(await next.kill('SIGTERM'), next.stderr()).toEqual({ code: 0, signal: null })
})

it('a full disk is not ready and says why, and is ready again once something was written', async (t) => {
  const home = await makeHome(t)
  const disk = join(home.effects, 'disk')
  mkdirSync(disk)
  skipFor(obstacle('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', disk]), t)
  try {
    writeFileSync(join(disk, 'ballast'), Buffer.alloc(1_000_000))
    const program = home.start('--event-store', `embedded:${disk}/log`)
    const url = await program.ready
    const ready = () => send(`${url}/health/ready`, 'GET')
    await register(url)
    expect(await ready()).toMatchObject({ status: 200, answer: { checks: { readModels: true, eventLog: true } } })

    const { ids, response } = await startUntilRefused(url, 'x'.repeat(150_000))
    expect(response, program.stderr()).toMatchObject({
      status: 503,
      answer: { detail: expect.stringContaining('nothing was written') },
    })
    expect(ids.length).toBeGreaterThan(5)
    const detail = 'not ready yet: eventLog (the last write was refused: database or disk is full)'
    expect(await ready()).toMatchObject({ status: 503, answer: { detail, checks: { eventLog: false } } })
    expect((await send(`${url}/health/live`, 'GET')).status).toBe(200)
    await expectAllThere(url, ids)
    expect((await ready()).status).toBe(503)

    rmSync(join(disk, 'ballast'))
    const more = await send(`${url}/v1/default/executions`, 'POST', { workflow: 'later', input: {} })
    expect(more.status).toBe(202)
    expect((await ready()).status).toBe(200)
    await expectAllThere(url, [...ids, more.answer.id])
    expect(await program.kill('SIGTERM'), program.stderr()).toEqual({ code: 0, signal: null })
  } finally {
    spawnSync('umount', ['--lazy', disk])
  }
})

describe('a thread that crashes ends the program with 70 and a line', () => {
  const preload = pathToFileURL(join(import.meta.dirname, '../support/crash-thread.ts')).href

  const crashes = [
    ['reader', "the event log's reader has crashed: made to crash"],
    ['writer', "the event log's writer has crashed: made to crash"],
    ['projector', 'the projector has crashed: made to crash'],
    ["projector's reader", "the projector has crashed: the event log's reader has crashed: made to crash"],
  ] as const
  for (const [thread, why] of crashes)
    it(thread, async (t) => {
      const home = await makeHome(t)
      const file = join(home.effects, 'now')
      const env = { NODE_OPTIONS: `--import=${preload}`, CRASH_THREAD: thread, CRASH_WHEN: file }
      const program = home.startWith(env)
      const url = await program.ready
      await register(url)
      const { answer } = await send(`${url}/v1/default/executions`, 'POST', { workflow: 'later' })
      // The projector, which is not waited for at the start, has its threads once it has shown the run.
      const shown = `${url}/v1/default/executions/${answer.id}?minPosition=${answer.position}&wait=30s`
      expect((await send(shown, 'GET')).status).toBe(200)
      writeFileSync(file, '')
      expect(await program.ended, program.stderr()).toEqual({ code: 70, signal: null })
      expect(said(program.stderr())).toEqual([`millrace: ${why}`])
      expect(program.stderr()).toContain('crash-thread.ts:')

      const next = home.start()
      await expectAllThere(await next.ready, [answer.id])
      expect(await next.kill('SIGTERM'), next.stderr()).toEqual({ code: 0, signal: null })
    })
})
