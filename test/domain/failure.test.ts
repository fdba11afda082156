import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { builtInRules, retriesByClass } from '../../src/domain/execution/built-in-rules.ts'
import type { FailureClass, StageError } from '../../src/domain/execution/events.ts'
import { classify } from '../../src/domain/execution/failure.ts'
import { inspectPattern, MAX_PATTERN_COST, matchesPattern } from '../../src/domain/execution/pattern.ts'
import type { FailureRule } from '../../src/domain/workflow/definition.ts'

const exited = (exitCode: number, ...stderr: string[]): StageError => ({
  code: 'EXIT_NONZERO',
  exitCode,
  message: [`the script exited with ${exitCode}${stderr.length > 0 ? ':' : ''}`, ...stderr].join('\n'),
})
const killed = (signal: string): StageError => ({
  code: 'KILLED',
  signal,
  message: `the script was killed by ${signal}`,
})
const answered = (httpStatus: number): StageError => ({
  code: 'HTTP_STATUS',
  httpStatus,
  message: `GET https://api.example.com answered ${httpStatus}`,
})
const coded = (code: string, message = 'it failed'): StageError => ({ code, message })
const script = '/data/work/.attempts/a-x1y2z3/script.sh'

const table: { readonly [C in FailureClass]: readonly StageError[] } = {
  infrastructure: [
    coded('WORKER_LOST', 'nobody renews the lease of the attempt'),
    coded('SHUTDOWN', 'the worker was shut down before the attempt had ended'),
    coded('LEASE_LOST'),
    killed('SIGTERM'),
    exited(143, 'Terminated'),
  ],
  cancelled: [coded('CANCELLED', 'the attempt was asked to stop')],
  timeout: [
    coded('TIMED_OUT', 'https://api.example.com did not answer in time (UND_ERR_HEADERS_TIMEOUT)'),
    answered(408),
    exited(124),
    exited(28, 'curl: (28) Operation timed out after 5001 milliseconds with 0 bytes received'),
    exited(1, 'error: timed out waiting for the condition on deployments/web'),
    exited(1, 'Error: failed to pull: context deadline exceeded'),
    exited(1, 'Traceback (most recent call last):', '  File "x.py", line 3', 'TimeoutError: timed out'),
  ],
  network: [
    coded('CONNECTION_FAILED', 'no usable answer from https://api.example.com: ECONNREFUSED'),
    ...['ECONNREFUSED', 'ECONNRESET', 'ETIMEDOUT', 'EAI_AGAIN', 'ENOTFOUND'].map((code) => coded(code)),
    coded('HANDLER_FAILED', 'fetch failed'),
    exited(6, 'curl: (6) Could not resolve host: registry.example.com'),
    exited(7, 'curl: (7) Failed to connect to localhost port 1 after 0 ms: Could not connect to server'),
    exited(128, "fatal: unable to access 'https://git.example.com/a.git/': Could not resolve host: git.example.com"),
    exited(255, 'ssh: connect to host build.example.com port 22: Connection timed out'),
    exited(1, 'Error: connect ECONNREFUSED 127.0.0.1:5432', '    at TCPConnectWrap.afterConnect'),
    exited(1, 'bash: connect: Connection refused', `${script}: line 1: /dev/tcp/127.0.0.1/1: Connection refused`),
    exited(1, 'Get "https://x.example.com/": dial tcp 10.0.0.1:443: i/o timeout'),
    exited(1, 'ping: x.example.com: Temporary failure in name resolution'),
  ],
  'rate-limit': [
    answered(429),
    exited(22, 'curl: (22) The requested URL returned error: 429'),
    exited(1, 'npm error code E429', 'npm error 429 Too Many Requests - GET https://registry.example.com/x'),
    exited(1, 'Error response from daemon: toomanyrequests: You have reached your pull rate limit.'),
    exited(254, 'An error occurred (ThrottlingException) when calling the DescribeStacks operation: Rate exceeded'),
  ],
  authentication: [
    answered(401),
    answered(403),
    exited(22, 'curl: (22) The requested URL returned error: 403 Forbidden'),
    exited(128, "fatal: Authentication failed for 'https://git.example.com/a.git/'"),
    exited(128, "fatal: could not read Username for 'https://git.example.com': terminal prompts disabled"),
    exited(128, 'git@git.example.com: Permission denied (publickey).', 'fatal: Could not read from remote repository.'),
    exited(1, 'npm error code E401', 'npm error Incorrect or missing password.'),
    exited(1, 'unauthorized: authentication required'),
    exited(254, 'An error occurred (AccessDenied) when calling the PutObject operation: Access Denied'),
    exited(2, 'psql: error: connection to server failed: FATAL: password authentication failed for user "app"'),
  ],
  'resource-exhausted': [
    killed('SIGKILL'),
    exited(137, `${script}: line 1: 4242 Killed                  node big.js`),
    coded('ENOSPC', 'ENOSPC: no space left on device, write'),
    exited(1, "cp: error writing '/mnt/x': No space left on device"),
    exited(1, 'OSError: [Errno 28] No space left on device'),
    exited(1, 'npm error nospc ENOSPC: no space left on device, write'),
    exited(134, 'FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory'),
    exited(1, 'Exception in thread "main" java.lang.OutOfMemoryError: Java heap space'),
    exited(254, 'bash: fork: retry: Resource temporarily unavailable'),
    exited(1, 'c++: fatal error: Killed signal terminated program cc1plus', 'compilation terminated.'),
  ],
  dependency: [
    ...[500, 502, 503, 504].map(answered),
    exited(1, 'npm error code ENOTFOUND', 'npm error network request to https://registry.example.com/x failed'),
    exited(1, 'npm ERR! code ERESOLVE', 'npm ERR! ERESOLVE unable to resolve dependency tree'),
    exited(1, 'npm error code E404', "npm error 404  'leftpadd@1.0.0' is not in this registry."),
    exited(1, 'ERROR: No matching distribution found for requests==99.0'),
    exited(100, 'E: Unable to locate package libfoo-dev'),
    exited(100, 'E: Failed to fetch http://deb.example.com/x.deb  404  Not Found'),
    exited(1, '[ERROR] Could not resolve dependencies for project a:b:jar:1: Could not find artifact c:d:jar:2'),
    exited(1, '> Could not resolve all files for configuration :app:compileClasspath.'),
    exited(1, 'error: no matching package named `serdee` found'),
    exited(22, 'curl: (22) The requested URL returned error: 503'),
  ],
  'test-failure': [
    exited(1, 'Tests:       1 failed, 10 passed, 11 total', 'Ran all test suites.'),
    exited(1, ' Test Files  1 failed | 2 passed (3)', '      Tests  2 failed | 40 passed (42)'),
    exited(1, '=========== 1 failed, 2 passed in 0.12s ==========='),
    exited(1, 'FAILED tests/test_a.py::test_add - assert 1 == 2'),
    exited(1, 'Ran 3 tests in 0.001s', '', 'FAILED (failures=1)'),
    exited(1, '--- FAIL: TestAdd (0.00s)', 'FAIL'),
    exited(101, 'error: test failed, to rerun pass `--lib`'),
    exited(1, '[ERROR] Tests run: 5, Failures: 1, Errors: 0, Skipped: 0'),
    exited(1, '[ERROR] Tests run: 5, Failures: 0, Errors: 2, Skipped: 0'),
    exited(1, '  3 passing (8ms)', '  1 failing'),
    exited(1, 'ℹ pass 3', 'ℹ fail 1'),
    exited(1, 'Error: connect ECONNREFUSED 127.0.0.1:5432', 'Tests:       1 failed, 1 total'),
  ],
  configuration: [
    coded('HANDLER_UNKNOWN'),
    coded('INPUT_INVALID', 'with: run is required'),
    coded('EXPRESSION_FAILED'),
    coded('ADDRESS_REFUSED', '"db" leads to an address that is not public; an operator can allow it'),
    coded('CONNECTION_FAILED', 'no usable answer from https://api.example.com: CERT_HAS_EXPIRED'),
    coded('CONNECTION_FAILED', 'no usable answer from https://api.example.com: DEPTH_ZERO_SELF_SIGNED_CERT'),
    coded('ENOENT', "ENOENT: no such file or directory, open 'x.json'"),
    answered(422),
    exited(127, `${script}: line 1: kubectl: command not found`),
    exited(126, `${script}: line 1: ./deploy.sh: Permission denied`),
    exited(1, `${script}: line 3: TARGET: unbound variable`),
    exited(2, `${script}: line 9: syntax error near unexpected token \`fi'`),
    exited(1, `${script}: line 2: cd: dist: No such file or directory`),
    exited(2, "make: *** No rule to make target 'deplyo'.  Stop."),
    exited(2, "python3: can't open file '/w/x.py': [Errno 2] No such file or directory"),
  ],
  unknown: [
    exited(1),
    exited(2, 'usage: deploy [--timeout SECONDS] [--network NAME]'),
    exited(139, 'Segmentation fault (core dumped)'),
    coded('HANDLER_FAILED', 'something went wrong'),
    coded('OUTPUT_INVALID'),
    answered(404),
    answered(409),
    // Words that the patterns are made of, said in passing.
    exited(1, 'warning: connection to cache timed out, going on without it', 'deploy: wrong region'),
    exited(1, 'Tests: 0 failed, 12 passed', 'coverage is below 80 %'),
    exited(1, '[INFO] Tests run: 5, Failures: 0, Errors: 0, Skipped: 0', 'checkstyle: 2 violations'),
    exited(1, 'ℹ fail 0', 'lint: 1 problem'),
    exited(1, '12 checks passed, 3 failed requirements listed above'),
    exited(1, '+ curl -sS --retry 3 https://x.example.com', '+ false'),
    exited(1, 'authentication: ok', 'permission denied by policy: change window is closed'),
    exited(1, 'error: exit code 137 is reserved', 'see ENOSPC in errno(3)'),
    exited(1, 'npm warn deprecated request@2.88.2: request has been deprecated', 'build: 1 error'),
    exited(1, 'retrying after HTTP 503 (1/3)', 'retrying after HTTP 429 (2/3)', 'assertion failed: a == b'),
    exited(1, 'Could not resolve the version conflict in CHANGELOG.md'),
    exited(1, 'cat: settings.json: No such file or directory'),
    exited(1, 'freed memory: 512 MiB; out of memory slots to test'),
  ],
}

describe.each(Object.entries(table))('%s', (kind, errors) => {
  test.each(
    errors.map((error) => [`${error.code} ${error.message.split('\n').slice(-2).join(' / ')}`, error] as const),
  )('%s', (_, error) => {
    expect(classify(error, undefined, undefined)).toMatchObject({ class: kind, builtIn: true })
  })
})

describe('the built-in rules', () => {
  test('each is the one that some error above meets', () => {
    const met = new Set(
      Object.values(table)
        .flat()
        .map((error) => classify(error, undefined, undefined).rule),
    )
    expect(builtInRules.filter(({ name }) => !met.has(name))).toEqual([])
    expect(met).toContain('none')
  })
  test('have patterns without a fault', () => {
    for (const pattern of builtInRules.flatMap(({ match }) => match.messages ?? []))
      expect(inspectPattern(pattern)).not.toHaveProperty('fault')
  })
  test('grant nothing: what a class does by default stays within the attempts of the stage', () => {
    expect(builtInRules.filter((rule) => 'recover' in rule)).toEqual([])
    const never = Object.entries(retriesByClass).filter(([, retries]) => !retries)
    expect(never.map(([kind]) => kind).sort()).toEqual(['authentication', 'cancelled', 'configuration'])
  })
})

describe('the rules of a workflow', () => {
  const error = exited(2, 'registry eu-1 timed out', 'gave up')
  const rule = (match: FailureRule['match'], more: Partial<FailureRule> = {}): FailureRule => ({
    name: 'own',
    match,
    ...more,
  })
  test('come first, in order', () => {
    const rules = [
      rule({ codes: ['OTHER'] }, { name: 'no' }),
      rule({ exitCodes: [1, 2] }, { name: 'first', class: 'dependency', recover: { action: 'ask' } }),
      rule({ codes: ['EXIT_NONZERO'] }, { name: 'second', class: 'network' }),
    ]
    expect(classify(error, 'build', rules)).toEqual({
      class: 'dependency',
      rule: 'first',
      builtIn: false,
      recover: { action: 'ask' },
      retries: true,
    })
  })
  test('without a class leave that to the built-in ones', () => {
    expect(classify(exited(127), 'a', [rule({ exitCodes: [127] })])).toMatchObject({
      class: 'configuration',
      rule: 'own',
      builtIn: false,
      retries: false,
    })
  })
  test.each<[boolean, FailureRule['match'], StageError, string | undefined]>([
    [true, { messages: ['registry .* timed out'] }, error, undefined],
    [true, { messages: ['^gave up$'] }, error, undefined],
    [true, { messages: ['nope', '(?i)REGISTRY'] }, error, undefined],
    [false, { messages: ['REGISTRY'] }, error, undefined],
    [true, { messages: ['registry'], exitCodes: [2] }, error, undefined],
    [false, { messages: ['registry'], exitCodes: [1] }, error, undefined],
    [true, { stages: ['publish'] }, error, 'publish'],
    [false, { stages: ['publish'] }, error, 'build'],
    [false, { stages: ['publish'] }, error, undefined],
    [false, { exitCodes: [1] }, killed('SIGKILL'), undefined],
    [true, { signals: ['SIGKILL'] }, killed('SIGKILL'), undefined],
    [false, { signals: ['SIGKILL'] }, error, undefined],
    [true, { httpStatuses: ['4xx'] }, answered(499), undefined],
    [false, { httpStatuses: ['4xx'] }, answered(500), undefined],
    [true, { httpStatuses: ['4xx', '5xx'] }, answered(500), undefined],
    [true, { httpStatuses: [418] }, answered(418), undefined],
    [false, { httpStatuses: ['5xx'] }, error, undefined],
  ])('%s for %j', (matches, match, given, stage) => {
    expect(classify(given, stage, [rule(match)]).builtIn).toBe(!matches)
  })
  test('first match wins, and nothing throws, whatever the rules and the error', () => {
    const text = fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('a', '^a+$', '(a', '[a-', '\\1', 'x{2}{3}'))
    const few = <T>(values: fc.Arbitrary<T>) => fc.array(values, { minLength: 1, maxLength: 3 })
    const code = fc.constantFrom('A', 'B', 'TIMED_OUT')
    const match = fc.record(
      { codes: few(code), exitCodes: few(fc.constantFrom(1, 2)), messages: few(text), stages: few(fc.constant('s')) },
      { requiredKeys: [] },
    )
    const anError = fc.record(
      { code, message: text, exitCode: fc.constantFrom(1, 2, 127), signal: text, httpStatus: fc.integer() },
      { requiredKeys: ['code', 'message'] },
    )
    fc.assert(
      fc.property(fc.array(match, { maxLength: 5 }), anError, (matches, given) => {
        const rules = matches.map((each, index): FailureRule => ({ name: `r${index}`, match: each, class: 'network' }))
        const alone = rules.filter((one) => !classify(given, 's', [one]).builtIn)
        const { rule: found, class: kind } = classify(given, 's', rules)
        expect({ found, kind }).toEqual(
          alone[0]
            ? { found: alone[0].name, kind: 'network' }
            : { found: classify(given, 's', []).rule, kind: classify(given, 's', []).class },
        )
      }),
    )
  })
})

describe('a pattern', () => {
  const texts = [`${'a'.repeat(4_095)}!`, 'ab '.repeat(1_365), 'é'.repeat(4_096), '\n'.repeat(4_096)]
  test.each(['(a+)+$', '(a|a)*$', '(a|aa)+$', '(.*a){20}$', '(.*)*(.*)*x', '(x+x+)+y', '^(([a-z])+.)+[A-Z]([a-z])+$'])(
    'that would run for ever elsewhere takes milliseconds: %s',
    (pattern) => {
      expect(inspectPattern(pattern)).not.toHaveProperty('fault')
      const startedAt = performance.now()
      for (const text of texts) matchesPattern(pattern, text)
      expect(performance.now() - startedAt).toBeLessThan(500)
    },
  )
  test.each([
    ['a{1000}{1000}', 'invalid nested repetition'],
    ['((a{100}){100}){100}', 'invalid repeat count'],
    ['a{1001}', 'invalid repeat count'],
    ['a{1000}'.repeat(4), 'steps for each character'],
    ['(a|b{0,500}){0,2}'.repeat(30), 'steps for each character'],
    ['a'.repeat(513), 'at most 512 characters'],
    ['(', 'missing closing )'],
    ['[a', 'missing closing ]'],
    ['*', 'missing argument'],
    ['(?=a)', 'unsupported'],
    ['(?<!a)b', 'invalid'],
    ['(a)\\1', 'invalid escape'],
    ['\\pL', 'invalid escape'],
  ])('is refused: %s', (pattern, fault) => {
    expect(inspectPattern(pattern).fault).toContain(fault)
    expect(matchesPattern(pattern, pattern)).toBe(false)
  })
  test('as dear as is taken still ends soon', () => {
    const dearest = '(\\b|.){500}$'
    expect(inspectPattern(dearest).cost).toBeGreaterThan(MAX_PATTERN_COST / 2)
    const startedAt = performance.now()
    matchesPattern(dearest, texts[0]!)
    expect(performance.now() - startedAt).toBeLessThan(3_000)
  })
  test('is looked for in the first 4,096 characters', () => {
    expect(matchesPattern('x', `${'a'.repeat(4_095)}x`)).toBe(true)
    expect(matchesPattern('x', `${'a'.repeat(4_096)}x`)).toBe(false)
  })
  test('means the same when the cache has long forgotten it', () => {
    for (let i = 0; i < 2_500; i++) expect(matchesPattern(`^${i}$`, `a\n${i}\nb`)).toBe(true)
    expect(matchesPattern('^0$', '0')).toBe(true)
    expect(matchesPattern('^0$', '1')).toBe(false)
  })
})
