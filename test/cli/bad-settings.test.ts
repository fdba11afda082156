// What the program says to bad flags and variables: one line, without a stack, without a secret, and an exit code.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, it } from 'vitest'
import { settingNames, variableOf } from '../../src/config.ts'
import { endPrograms, run, runNode } from '../support/programs.ts'

const root = join(import.meta.dirname, '../..')
const main = join(root, 'src/main.ts')
const scratch = mkdtempSync(join(tmpdir(), 'millrace-cli-'))
afterAll(() => rmSync(scratch, { recursive: true }))
afterEach(endPrograms)

async function millrace(args: readonly string[], variables: Record<string, string> = {}) {
  const program = runNode(main, args, { cwd: scratch, env: { ...process.env, ...variables } })
  const { code } = await program.ended
  return { code, said: program.errors, shown: program.lines }
}

const file = join(scratch, 'file')
writeFileSync(file, '')
const unreachable = 'postgres://ada:hunter2@127.0.0.1:1/runs?sslpassword=hunter2'

const lost = 'esdb://ada:hunter2@127.0.0.1:1?tls=false'
const nowhere = 'esdb+discover://ada:hunter2@127.0.0.1:1?tls=false&maxDiscoverAttempts=1'

type Case = readonly [
  what: string,
  args: readonly string[],
  code: number,
  line: string,
  variables?: Record<string, string>,
]
const cases: readonly Case[] = [
  ['a port that is none', ['start', '--port', 'http'], 78, '--port (MILLRACE_PORT): must be a number'],
  ['a port out of range', ['start'], 78, 'must be a number from 0 to 65535', { MILLRACE_PORT: '65536' }],
  ['heartbeats too rare for the lease', ['start', '--heartbeat-ms', '10001'], 78, 'at most a third of --lease-ms'],
  ['a variable misspelt', ['start'], 78, 'did you mean MILLRACE_DATABASE?', { MILLRACE_DATABSE: 'hunter2' }],
  [
    'an EventStoreDB that is not there',
    ['start', '--event-store', lost, '--event-store-wait-ms', '0', '--data', join(scratch, 'd')],
    69,
    'EventStoreDB at esdb://ada:***@127.0.0.1:1 cannot be used: 14 UNAVAILABLE: No connection established',
  ],
  [
    'an EventStoreDB to be discovered that is not there',
    ['start', '--event-store', nowhere, '--event-store-wait-ms', '0', '--data', join(scratch, 'e')],
    69,
    'EventStoreDB at esdb+discover://ada:***@127.0.0.1:1 cannot be used: Failed to discover after 1 attempts',
  ],
  [
    'an option that EventStoreDB has not',
    ['start', '--event-store', `${lost}&hunter=hunter2`, '--data', join(scratch, 'f')],
    78,
    'the URL of the event store has an option that is unknown',
  ],
  [
    'an authority of EventStoreDB that is not there',
    ['start', '--event-store', 'esdb://ada:hunter2@h?tlsCaFile=/none', '--data', join(scratch, 'g')],
    78,
    'cannot be used: Failed to load certificate file',
  ],
  [
    'a Kafka that is not there',
    ['start', '--database-wait-ms', '0', '--log-level', 'fatal', '--data', join(scratch, 'k')],
    69,
    'Kafka at 127.0.0.1:1 cannot be used',
    { MILLRACE_QUEUE: 'kafka://ada:hunter2@127.0.0.1:1' },
  ],
  [
    'options for Kafka',
    ['start', '--queue', 'kafka://ada:hunter2@h?acks=0', '--data', join(scratch, 'l')],
    78,
    'has an unknown parameter; there are ssl',
  ],
  [
    'a worker that shares nothing',
    ['start', '--roles', 'worker'],
    78,
    'it needs --queue kafka://… and --leases redis://…',
  ],
  [
    'a Redis that is not there',
    ['start', '--leases', 'redis://:hunter2@127.0.0.1:1/2', '--database-wait-ms', '0', '--data', join(scratch, 'r')],
    69,
    'Redis at redis://127.0.0.1:1/2 cannot be used: connect ECONNREFUSED',
  ],
  [
    'options for Redis',
    ['start', '--leases', 'redis://:hunter2@h?keyPrefix=a'],
    78,
    'the number of a database at most',
  ],
  [
    'a replica of nothing',
    ['start', '--database-replica', 'postgres://a:hunter2@h/d'],
    78,
    'name that with --database',
  ],
  ['another database', ['start', '--database', 'mysql://a:hunter2@h'], 78, 'must begin with embedded: or postgres://'],
  ['a URL that is none', ['start', '--database', 'postgres://a:hunter2@h:x/'], 78, 'is no URL'],
  ['an address that others reach', ['start', '--host', '0.0.0.0'], 78, 'must be a loopback address'],
  [
    'a database that is not there',
    ['start', '--database', unreachable, '--database-wait-ms', '0', '--data', join(scratch, 'a')],
    69,
    'PostgreSQL at postgres://ada:***@127.0.0.1:1/runs cannot be used: connect ECONNREFUSED',
  ],
  ['a range that is none', ['start', '--allow-outbound', '10.0.0.0/33'], 78, 'nor a range such as 10.0.0.0/8'],
  ['a label that is none', ['start', '--labels', 'gpu,Linux'], 78, '(MILLRACE_LABELS): entry 2: "Linux" is no label'],
  ['an unknown flag', ['start', '--colour'], 2, "unknown option '--colour'"],
  ['a flag that would colour the terminal', ['start', '--\u001b[31m'], 2, "unknown option '--\\x1b[31m'"],
  ['an unknown command', ['strat'], 2, "unknown command 'strat' (Did you mean start?)"],
  ['an argument too many', ['start', 'now'], 2, 'too many arguments'],
  ['a flag without its value', ['start', '--port'], 2, 'argument missing'],
  ['handlers that are not there', ['start', '--handlers', './none.ts'], 78, 'there is no such file'],
  ['a data folder that is a file', ['start', '--data', file], 73, 'cannot be used as the data folder'],
]

describe('millrace says in one line what is wrong with', () => {
  for (const [what, args, code, line, variables] of cases)
    it(what, async () => {
      const answer = await millrace(args, variables)
      expect(answer.said.join('\n')).toContain(line)
      expect(answer).toMatchObject({ code, shown: [] })
      expect(answer.said).toHaveLength(1)
      expect(answer.said[0]).toMatch(/^millrace: /)
      expect(answer.said[0]).not.toContain('hunter2')
    })

  it('several settings at once', async () => {
    const { code, said } = await millrace(['start', '--port', '-1', '--roles', 'cook', '--concurrency', '0'])
    expect(code).toBe(78)
    expect(said.map((line) => /--[a-z-]+/.exec(line)?.[0])).toEqual(['--port', '--roles', '--concurrency'])
  })
})

describe('a database that comes late', () => {
  it('is waited for, which is said once, and no longer than it was told', async () => {
    const args = ['--database', unreachable, '--database-wait-ms', '1200', '--data', join(scratch, 'b')]
    const from = performance.now()
    const { code, said } = await millrace(['start', ...args])
    expect(performance.now() - from).toBeGreaterThan(500)
    expect(code).toBe(69)
    expect(said.filter((line) => line.includes('waiting for PostgreSQL'))).toHaveLength(1)
    expect(said.join('\n')).not.toContain('hunter2')
  })

  it('does not hold up SIGTERM', async () => {
    const args = ['--database', unreachable, '--database-wait-ms', '600000', '--data', join(scratch, 'c')]
    const program = runNode(main, ['start', ...args])
    await program.untilErrors((errors) => errors.some((line) => line.includes('waiting for PostgreSQL')))
    expect(await program.stop('SIGTERM')).toEqual({ code: 0, signal: null })
  })
})

describe('millrace start --help', () => {
  it('lists every setting with its variable and its default', async () => {
    const { code, shown } = await millrace(['start', '--help'])
    expect(code).toBe(0)
    const text = shown.join(' ').replaceAll(/\s+/g, ' ')
    for (const name of settingNames)
      expect(text).toMatch(new RegExp(`--[a-z-]+ <value> [^\\[]*\\([^)]+\\) \\[${variableOf(name)}\\]`))
  })

  it('may be cut short by its reader', async () => {
    const { code, signal } = await run('bash', [
      '-c',
      'set -o pipefail; "$0" "$1" start --help | true',
      process.execPath,
      main,
    ]).ended
    expect({ code, signal }).toEqual({ code: 0, signal: null })
  })
})
