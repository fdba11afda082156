// `millrace verify` against a whole program, and against servers that are none, or go away.
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { query } from '../support/postgres.ts'
import { endPrograms } from '../support/programs.ts'
import { outcomeOf, servedProgram } from '../support/served.ts'

const verify = (...args: string[]) => outcomeOf('verify', ...args)

afterEach(endPrograms)

describe('millrace verify on a program that runs', () => {
  const served = servedProgram()

  async function run(url: string): Promise<string> {
    const json = { 'content-type': 'application/json' }
    const stages = {
      build: { uses: 'shell', with: { run: 'echo built' } },
      pause: { uses: 'wait', with: { duration: '1h' } },
    }
    const document = JSON.stringify({ name: 'build', stages })
    await fetch(`${url}/v1/default/workflows/build`, { method: 'PUT', headers: json, body: document })
    const body = JSON.stringify({ workflow: 'build' })
    const started = await fetch(`${url}/v1/default/executions`, { method: 'POST', headers: json, body })
    const { id, position } = (await started.json()) as { id: string; position: string }
    const state = async () => {
      const answer = await fetch(`${url}/v1/default/executions/${id}?minPosition=${position}`)
      return ((await answer.json()) as { stages?: { build: { status: string } } }).stages?.build.status
    }
    await vi.waitFor(async () => expect(await state()).toBe('completed'), 20_000)
    return id
  }

  it('says that all is well, finds what is not, mends it, and ends as it says', { timeout: 120_000 }, async () => {
    const { program, url } = await served.start()
    const id = await run(url)
    const clean = await verify('--url', url)
    expect(clean).toMatchObject({ code: 0, errors: [] })
    expect(clean.lines).toEqual([
      expect.stringMatching(/^\d+ events up to position \d+, 0 ended runs and 3 open streams, in [\d.]+ s/),
      expect.stringMatching(/^clean: \d+ invariants hold, nothing has drifted$/),
    ])

    await query(served.database, `UPDATE stages SET status = 'failed' WHERE stage = 'build'`)
    const drifted = await verify('--url', `${url}/`)
    expect(drifted).toMatchObject({ code: 1, errors: [] })
    expect(drifted.lines.slice(1)).toEqual([
      `drift: stages ${id}/build differs from what the log says in status`,
      '0 violations in the log, drift in 1 places; mend the drift with --repair',
    ])
    expect(await verify('--url', url, '--no-read-models')).toMatchObject({ code: 0, errors: [] })

    const mended = await verify('--url', url, '--repair', '--json')
    expect(mended).toMatchObject({ code: 0, errors: [] })
    expect(JSON.parse(mended.lines.join('\n'))).toMatchObject({
      ...{ kind: 'result', clean: true, before: { violations: 0, drift: 1 }, drift: { total: 0, items: [] } },
      repaired: ['built the read models of executions again'],
    })
    expect((await verify('--url', url)).code).toBe(0)
    expect(await program.stop('SIGTERM')).toEqual({ code: 0, signal: null })
    expect(program.errors).toEqual([])

    // Snapshots of the reactors stand in the log now, and in no read model.
    const next = await served.start()
    const again = await verify('--url', next.url)
    expect(again).toMatchObject({ code: 0, errors: [], lines: [expect.any(String), expect.stringMatching(/^clean: /)] })
    expect(await next.program.stop('SIGTERM')).toEqual({ code: 0, signal: null })
  })
})

describe('millrace verify on what is no Millrace, or none any more', () => {
  let server: Server | undefined
  afterEach(() => {
    server?.closeAllConnections()
    server?.close()
  })
  async function serve(listener: RequestListener): Promise<string> {
    server = createServer(listener)
    await new Promise<void>((resolve) => server!.listen(0, '127.0.0.1', resolve))
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  }
  const result = {
    ...{ kind: 'result', clean: true, position: '9', events: 10, streams: { open: 1, ended: 2 }, seconds: 1 },
    ...{ eventsPerSecond: 10, invariants: [], violations: { total: 0, items: [] }, drift: { total: 0, items: [] } },
    ...{ repaired: [], notChecked: [] },
  }
  const progress = { kind: 'progress', phase: 'reading the log', events: 1, of: 9, eventsPerSecond: 1, etaSeconds: 8 }
  const answering =
    (...lines: object[]): RequestListener =>
    (_, response) => {
      for (const line of lines) response.write(`${JSON.stringify(line)}\n`)
      response.end()
    }

  it('one line, and 69 where nobody answers or somebody else does', async () => {
    const url = await serve((_, response) => response.writeHead(404).end('nothing here'))
    expect(await verify('--url', url)).toEqual({
      ...{ code: 69, lines: [], errors: [`millrace: ${url} answered 404; is it a Millrace of this version?`] },
    })
    server?.close()
    await new Promise((resolve) => server?.once('close', resolve))
    expect(await verify('--url', url)).toEqual({
      code: 69,
      lines: [],
      errors: [
        `millrace: cannot reach Millrace at ${url} (ECONNREFUSED); start it there, or say where it is with --url`,
      ],
    })
  })

  it('75 where it has something else to do, or could not do all of it', async () => {
    const problem = {
      status: 409,
      code: 'VERIFICATION_RUNNING',
      detail: 'a verification is running already; ask again when it is done',
    }
    const busy = await serve((_, response) => response.writeHead(409).end(JSON.stringify(problem)))
    expect(await verify('--url', busy)).toEqual({
      ...{ code: 75, lines: [], errors: [`millrace: ${busy} answered 409: ${problem.detail}`] },
    })
    const failed = await serve(answering(progress, { kind: 'failed', detail: 'the event log is out of reach' }))
    expect(await verify('--url', failed)).toEqual({
      ...{ code: 75, lines: [], errors: ['millrace: the verification came to nothing: the event log is out of reach'] },
    })
    const partly = await serve(answering({ ...result, notChecked: ['the read models: ECONNREFUSED'] }))
    const { code, lines, errors } = await verify('--url', partly)
    expect({ code, errors }).toEqual({
      code: 75,
      errors: ['millrace: not everything could be checked: the read models: ECONNREFUSED'],
    })
    expect(lines).toContain('not checked: the read models: ECONNREFUSED')
  })

  it('69 where the server goes away before it is done', async () => {
    const gone = 'went away before it was done; start it again and ask again'
    const cut = await serve((_, response) => {
      response.write(`${JSON.stringify(progress)}\n`, () => response.destroy())
    })
    expect(await verify('--url', cut)).toEqual({ code: 69, lines: [], errors: [`millrace: ${cut} ${gone}`] })
    const short = await serve(answering(progress))
    expect(await verify('--url', short)).toEqual({ code: 69, lines: [], errors: [`millrace: ${short} ${gone}`] })
    const strange = await serve((_, response) => response.end('hello\n'))
    expect(await verify('--url', strange)).toMatchObject({ code: 69, lines: [], errors: [expect.any(String)] })
  })

  it('shows violations, and no escapes of what it is told', async () => {
    const violation = { invariant: 7, stream: 'execution-1\u001b[2J', revision: '3', what: 'x\ncomes after the end' }
    const url = await serve(
      answering({
        ...{ ...result, clean: false, violations: { total: 25, items: Array(25).fill(violation) } },
        invariants: [{ number: 7, says: 'nothing comes after the end of a run', events: 4, violations: 25 }],
      }),
    )
    const { code, lines } = await verify('--url', url)
    expect(code).toBe(1)
    expect(lines[1]).toBe('invariant 7 (nothing comes after the end of a run) is broken by 25 of 4 events')
    expect(lines[2]).toBe('execution-1 revision 3: invariant 7: x comes after the end')
    expect(lines.slice(-2)).toEqual([
      '… and 5 more',
      '25 violations in the log, drift in 0 places; the log is never changed: what it says is for people to judge',
    ])
  })

  it.each([['--url', 'nowhere'], ['--url', 'ftp://127.0.0.1'], ['--mend'], ['more'], ['--url']])(
    'wrong usage ends with 2 and one line: %s %s',
    async (...args) => {
      const { code, lines, errors } = await verify(...args.filter((one) => one !== undefined))
      expect({ code, lines }).toEqual({ code: 2, lines: [] })
      expect(errors).toEqual([expect.stringMatching(/^millrace: /)])
    },
  )

  it('says in --help how it ends', async () => {
    const { code, lines } = await verify('--help')
    expect(code).toBe(0)
    for (const word of ['--url', '--repair', '--json', '--no-read-models', '69', '75'])
      expect(lines.join('\n')).toContain(word)
  })
})
