import { resolve } from 'node:path'
import { describe, expect, it } from 'vitest'
import { ConfigError, flagOf, readConfig, variableOf } from '../../src/config.ts'

const problemsOf = (flags: Record<string, string>, environment: Record<string, string> = {}): string[] => {
  try {
    readConfig(flags, environment)
    return []
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError)
    return (error as ConfigError).message.split('\n')
  }
}

describe('settings', () => {
  it('have defaults that run on one machine without anything else', () => {
    expect(readConfig({}, {})).toMatchObject({
      port: 8080,
      host: '127.0.0.1',
      data: resolve('./data'),
      roles: ['api', 'engine', 'reactors', 'projector', 'worker'],
      queues: [{ name: 'default' }],
      labels: [],
      handlers: [],
      leaseMs: 30_000,
      heartbeatMs: 500,
    })
  })

  it('come from the flag, else the variable, else the default; what is empty counts as not given', () => {
    expect(readConfig({ port: '1' }, { MILLRACE_PORT: '2' }).port).toBe(1)
    expect(readConfig({}, { MILLRACE_PORT: '2' }).port).toBe(2)
    expect(readConfig({ port: '' }, {}).port).toBe(8080)
  })

  it('are named alike as flag and variable', () => {
    expect([flagOf('eventStore'), variableOf('eventStore')]).toEqual(['event-store', 'MILLRACE_EVENT_STORE'])
  })

  it('read lists', () => {
    const { queues, labels, roles, handlers } = readConfig(
      { queues: 'default, heavy=2', labels: 'linux, gpu,linux', roles: 'api,worker', handlers: 'a,,b ' },
      {},
    )
    expect(labels).toEqual(['linux', 'gpu'])
    expect(readConfig({}, { MILLRACE_LABELS: 'arm' }).labels).toEqual(['arm'])
    expect(queues).toEqual([{ name: 'default' }, { name: 'heavy', limit: 2 }])
    expect(roles).toEqual(['api', 'worker'])
    expect(handlers).toEqual(['a', 'b'])
  })

  it.each([
    [{ port: '1.5' }, /--port/],
    [{ port: '0x50 ' }, undefined],
    [{ concurrency: '1001' }, /1 to 1000/],
    [{ queues: 'Default' }, /"Default" is no queue/],
    [{ queues: 'a=0' }, /"a=0" is no queue/],
    [{ queues: 'a.gpu' }, /"a.gpu" is no queue/],
    [{ labels: 'linux,GPU' }, /entry 2: "GPU" is no label; write gpu or linux/],
    [{ labels: 'a.b' }, /"a.b" is no label/],
    [{ labels: 'os=linux' }, /"os=linux" is no label/],
    [{ labels: Array.from({ length: 33 }, (_, n) => `l${n}`).join() }, /at most 32 labels/],
    [{ labels: Array.from({ length: 32 }, (_, n) => `l${n}`).join() }, undefined],
    [{ roles: 'api,cook' }, /entry 2/],
    [{ logLevel: 'loud' }, /--log-level/],
    [{ leaseMs: '999' }, /--lease-ms/],
    [{ leaseMs: '1000', heartbeatMs: '334' }, /at most a third/],
    [{ leaseMs: '1002', heartbeatMs: '334' }, undefined],
    [{ host: '::1' }, undefined],
    [{ host: '192.168.0.1' }, /loopback/],
    [{ database: 'postgres://h/d' }, undefined],
    [{ database: 'embedded:' }, undefined],
    [{ allowOutbound: '10.0.0.0/8,fd00::/8, 192.168.0.1,::1,build1,ci-2.internal.,_x.example' }, undefined],
    [{ allowOutbound: 'a,10.0.0.0/33' }, /entry 2: "10.0.0.0\/33" is neither/],
    [{ allowOutbound: 'fd00::/129' }, /neither/],
    [{ allowOutbound: '10.0.0' }, /neither/],
    [{ allowOutbound: '10.0.0.256' }, /neither/],
    [{ allowOutbound: '10.0.0.0/' }, /neither/],
    [{ allowOutbound: 'build1/8' }, /neither/],
    [{ allowOutbound: 'http://build1' }, /neither/],
    [{ allowOutbound: 'build1:8080' }, /neither/],
    [{ allowOutbound: '*.internal' }, /neither/],
    [{ allowOutbound: '[::1]' }, /neither/],
    [{ queue: 'KAFKA://h' }, /must begin with memory: or kafka:/],
    [{ leases: 'redis://h' }, undefined],
    [{ leases: 'rediss://ada:secret@h:6380/15' }, undefined],
    [{ leases: 'redis://' }, /number of a database at most|is no URL/],
    [{ leases: 'redis://h/a' }, /number of a database at most/],
    [{ leases: 'redis://h?enableOfflineQueue=1' }, /number of a database at most/],
    [{ leases: 'postgres://h' }, /must begin with memory: or redis:\/\/ or rediss:\/\//],
    [{ database: 'postgres://h/d', databaseReplica: 'postgres://r/d' }, undefined],
    [{ databaseReplica: 'postgres://r/d' }, /name that with --database/],
    [{ databaseReplica: 'embedded:' }, /must begin with postgres:/],
  ] as const)('%j', (flags, problem) => {
    const problems = problemsOf(flags)
    if (problem === undefined) expect(problems).toEqual([])
    else expect(problems.join('\n')).toMatch(problem)
  })

  it('that are wrong are all named at once, without the value of a URL', () => {
    const problems = problemsOf({ port: 'x', database: 'mysql://ada:hunter2@h' }, { MILLRACE_HOTS: 'x' })
    expect(problems).toHaveLength(3)
    expect(problems.join('\n')).not.toContain('hunter2')
  })

  it('that are unknown are answered with the nearest known; those that scripts get are not settings', () => {
    expect(problemsOf({}, { MILLRACE_HANDLRS: 'a' })[0]).toContain('did you mean MILLRACE_HANDLERS?')
    expect(problemsOf({}, { MILLRACE_STAGE: 'a', MILLRACE_EXECUTION: 'b', PORT: '1' })).toEqual([])
  })
})
