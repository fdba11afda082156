import { readdirSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { Json } from '../../src/domain/message.ts'
import { CANARY, shellStage, shellStages } from '../support/shell-stage.ts'
import { stageFailure } from '../support/stage-failure.ts'

describe('what a script gets', () => {
  it('gets values by environment: text as it is, everything else as JSON', async () => {
    const env = { TEXT: '$(id) `id` "\' $HOME\n;', COUNT: 3, YES: true, NONE: null, LIST: ['a', { b: 1 }] }
    const run = `node -e '
      const { TEXT, COUNT, YES, NONE, LIST, MILLRACE_OUTPUT } = process.env
      require("node:fs").writeFileSync(MILLRACE_OUTPUT, JSON.stringify({ TEXT, COUNT, YES, NONE, LIST }))'`
    expect(await shellStage({ run, env }).run()).toEqual({
      TEXT: env.TEXT,
      COUNT: '3',
      YES: 'true',
      NONE: 'null',
      LIST: '["a",{"b":1}]',
    })
  })

  it('says which attempt it is', async () => {
    const { run, lines, context, instance } = shellStage('env | grep ^MILLRACE_ | grep -v OUTPUT | sort')
    await run()
    expect(lines.map((line) => line.text)).toEqual([
      'MILLRACE_ATTEMPT=1',
      expect.stringMatching(/^MILLRACE_CHECKPOINT=./),
      `MILLRACE_EXECUTION=${context.executionId}`,
      `MILLRACE_INSTANCE=${instance}`,
      'MILLRACE_NAMESPACE=default',
      'MILLRACE_STAGE=build',
    ])
  })

  it('sees nothing else of the environment of the program', async () => {
    const { run, lines } = shellStage('env; cat /proc/self/environ | tr "\\0" "\\n"')
    await run()
    expect(lines.length).toBeGreaterThan(4)
    expect(lines.filter((line) => line.text.includes(CANARY) || line.text.includes('BASH_ENV'))).toEqual([])
  })

  it('finds programs where whoever started the program does, without what npm put in front', async () => {
    const own = '/usr/local/bin:/usr/bin:/bin:/srv/tools/node_modules/.binary'
    const npm = '/srv/app/node_modules/.bin:/srv/node_modules/.bin:/usr/lib/npm/@npmcli/run-script/lib/node-gyp-bin'
    const pathOf = async (PATH: string, npm_lifecycle_event?: string) => {
      const { run, lines } = shellStages({ PATH, npm_lifecycle_event }).prepare('echo "$PATH"')
      await run()
      return lines.map((line) => line.text)
    }
    expect(await pathOf(`${npm}:${own}`, 'start')).toEqual([own])
    expect(await pathOf(npm, 'start')).toEqual(['/usr/local/bin:/usr/bin:/bin'])
    expect(await pathOf(`${npm}:${own}`)).toEqual([`${npm}:${own}`])
  })

  it('shares its working directory with the other stages of the run', async () => {
    const { prepare } = shellStages()
    await prepare('mkdir -p out && echo built > out/file', { stage: 'build' }).run()
    const { run, lines } = prepare({ run: 'cat file', cwd: 'out' }, { stage: 'test' })
    await run()
    expect(lines).toEqual([{ stream: 'stdout', text: 'built' }])
  })

  it('leaves no files but its own', async () => {
    const { run, workspace, workDir } = shellStage('touch mine')
    await run()
    expect(readdirSync(workspace)).toEqual(['mine'])
    expect(readdirSync(join(workDir, '.attempts'))).toEqual([])
  })

  it.each(['..', '../x', 'a/../../b', '/tmp', 'link'])('refuses the working directory %s', async (cwd) => {
    const { prepare } = shellStages()
    const { run, workspace } = prepare('true')
    await run()
    symlinkSync(tmpdir(), join(workspace, 'link'))
    const error = await stageFailure(prepare({ run: 'pwd', cwd }).run())
    expect(error).toMatchObject({ code: 'INPUT_INVALID', retryable: false })
    expect(error.message).toContain('outside the working directory')
  })

  it.each<[{ [key: string]: Json }, string]>([
    [{}, 'run:'],
    [{ run: 'true', shell: 'zsh' }, 'shell'],
    [{ run: 'true', env: { 'A B': '1' } }, 'env.A B: a variable is named'],
    [{ run: 'true', env: { MILLRACE_ATTEMPT: '7' } }, 'must not start with MILLRACE_'],
    [{ run: 'true', env: { A: '\0' } }, 'U+0000'],
    [{ run: 'true', grace: '1 week' }, 'grace: expected a duration'],
    [{ run: 'true', grace: 10 }, 'grace:'],
    [{ run: 'true', grace: '11m' }, 'grace: at most 10m'],
    [{ run: '#'.repeat(65_537) }, 'run:'],
    [{ run: 'true', cwd: 'a'.repeat(1_025) }, 'cwd:'],
    [{ run: 'true', cwd: 'missing' }, 'cwd: there is no'],
  ])('refuses %j', async (input, where) => {
    const error = await stageFailure(shellStage(input).run())
    expect(error).toMatchObject({ code: 'INPUT_INVALID', retryable: false })
    expect(error.message).toContain(where)
  })

  it('says so when a value is too large for an environment', async () => {
    expect(await stageFailure(shellStage({ run: 'true', env: { BIG: 'x'.repeat(3_000_000) } }).run())).toMatchObject({
      code: 'SPAWN_FAILED',
      message: expect.stringContaining('with.env'),
    })
  })

  it('may write to /dev/stderr and /dev/stdout by name', async () => {
    const { run, lines } = shellStage('echo one | tee /dev/stderr; echo two > /dev/stdout')
    await run()
    expect(lines).toContainEqual({ stream: 'stderr', text: 'one' })
    expect(lines.filter((line) => line.stream === 'stdout').map((line) => line.text)).toEqual(['one', 'two'])
  })
})

describe('how a script ends', () => {
  it('fails with its exit code and the end of what it said on standard error', async () => {
    const error = await stageFailure(shellStage('for i in $(seq 100); do echo "line $i" >&2; done; exit 42').run())
    expect(error).toMatchObject({ code: 'EXIT_NONZERO', exitCode: 42 })
    expect(error.message).toMatch(/^the script exited with 42:\nline 81\n(line \d+\n){18}line 100$/)
  })

  it('stops at the first command that fails, also inside a pipe, and at unset variables', async () => {
    for (const run of ['false; echo on', 'false | true; echo on', 'echo "$UNSET"; echo on']) {
      const { run: start, lines } = shellStage(run)
      expect(await stageFailure(start())).toMatchObject({ code: 'EXIT_NONZERO', exitCode: 1 })
      expect(lines.filter((line) => line.text === 'on')).toEqual([])
    }
  })

  it('keeps the message short and free of what PostgreSQL refuses', async () => {
    const error = await stageFailure(shellStage(`head -c 100000 /dev/zero >&2; printf '\\nend\\n' >&2; exit 1`).run())
    expect(error.message.length).toBeLessThanOrEqual(4_096)
    expect(error.message).not.toContain('\0')
    expect(error.message).toContain('end')
  })

  it('names the signal that killed it', async () => {
    expect(await stageFailure(shellStage('kill -KILL $$').run())).toMatchObject({ code: 'KILLED', signal: 'SIGKILL' })
  })
})

describe('the output', () => {
  it.each<[string, Json]>([
    ['true', null],
    ['printf "  \\n" > "$MILLRACE_OUTPUT"', null],
    ['echo \'{"image":"a:1","sizes":[1,2]}\' > "$MILLRACE_OUTPUT"', { image: 'a:1', sizes: [1, 2] }],
    ['echo 7 > "$MILLRACE_OUTPUT"', 7],
  ])('of %s is %j', async (run, expected) => expect(await shellStage(run).run()).toEqual(expected))

  it.each([
    ['echo "{" > "$MILLRACE_OUTPUT"', 'OUTPUT_INVALID'],
    ['echo 1e400 > "$MILLRACE_OUTPUT"', 'OUTPUT_INVALID'],
    ['printf \'"\\xff\\xfe"\' > "$MILLRACE_OUTPUT"', 'OUTPUT_INVALID'],
    ['printf \'["\\\\u0000"]\' > "$MILLRACE_OUTPUT"', 'OUTPUT_INVALID'],
    ['printf \'{"__proto__":{"a":1}}\' > "$MILLRACE_OUTPUT"', 'OUTPUT_INVALID'],
    [
      'printf "%0.s[" $(seq 20000) > "$MILLRACE_OUTPUT"; printf "%0.s]" $(seq 20000) >> "$MILLRACE_OUTPUT"',
      'OUTPUT_INVALID',
    ],
    ['mkfifo "$MILLRACE_OUTPUT"', 'OUTPUT_INVALID'],
    ['mkdir "$MILLRACE_OUTPUT"', 'OUTPUT_INVALID'],
    ['ln -s /etc/hostname "$MILLRACE_OUTPUT"', 'OUTPUT_INVALID'],
    ['(echo -n \'"\'; head -c 262144 /dev/zero | tr "\\0" x; echo \'"\') > "$MILLRACE_OUTPUT"', 'OUTPUT_TOO_LARGE'],
  ])('of %s is refused as %s', async (run, code) => {
    expect(await stageFailure(shellStage(run).run())).toMatchObject({ code, retryable: false })
  })
})

describe('what a script writes', () => {
  it('is kept line by line, the last one also without a line feed', async () => {
    const { run, lines } = shellStage("printf 'one\\r\\n\\ntwo\\nlast'; printf 'wrong' >&2")
    await run()
    expect(lines.filter((line) => line.stream === 'stdout').map((line) => line.text)).toEqual([
      'one',
      '',
      'two',
      'last',
    ])
    expect(lines.filter((line) => line.stream === 'stderr').map((line) => line.text)).toEqual(['wrong'])
  })

  it('is text whatever it was', async () => {
    const { run, lines } = shellStage(
      "printf 'a\\xff\\xc3b\\n\\xe2\\x82'; printf '\\xe2\\x82' >&2; printf '\\xac\\n' >&2",
    )
    await run()
    expect(lines.filter((line) => line.stream === 'stdout').map((line) => line.text)).toEqual([
      'a\uFFFD\uFFFDb',
      '\uFFFD',
    ])
    expect(lines.filter((line) => line.stream === 'stderr').map((line) => line.text)).toEqual(['€'])
  })

  it('may be random bytes', async () => {
    const { run, lines } = shellStage('head -c 1000000 /dev/urandom')
    await run()
    expect(lines.length).toBeGreaterThan(1_000)
    expect(lines.every((line) => line.text.isWellFormed())).toBe(true)
  })

  it('is cut into pieces of 64 Ki characters when a line is 10 MB long', async () => {
    const { run, lines } = shellStage("head -c 10000000 /dev/zero | tr '\\0' x; echo; echo after")
    await run()
    expect(lines.at(-1)?.text).toBe('after')
    expect(lines.slice(0, -1).reduce((total, line) => total + line.text.length, 0)).toBe(10_000_000)
    expect(Math.max(...lines.map((line) => line.text.length))).toBe(65_536)
  })

  it('may be 100,000 lines without piling up in memory', async () => {
    let count = 0
    let last = ''
    let peakBytes = 0
    const before = process.memoryUsage().heapUsed
    const log = (text: string) => {
      count += 1
      last = text
      if (count % 5_000 === 0) peakBytes = Math.max(peakBytes, process.memoryUsage().heapUsed - before)
    }
    await shellStage(`seq -f 'line %.0f ${'x'.repeat(100)}' 100000`, { log }).run()
    expect(count).toBe(100_000)
    expect(last).toMatch(/^line 100000 /)
    expect(peakBytes).toBeLessThan(128 * 1024 * 1024)
  })
})
