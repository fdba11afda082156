// The rules of the house that no tool can express. Each row has a canary: a made-up file that breaks the rule, so that
// a rule which stopped working is seen.
import { describe, expect, it } from 'vitest'
import { boundaryFaults, rooms } from './support/rooms.ts'
import { codeOf, importsOf, type SourceFile, sourceFiles } from './support/source.ts'

type Rule = {
  readonly name: string
  faults(file: SourceFile): readonly string[]
  readonly canaries: readonly SourceFile[]
  /** Files that may break the rule, with the reason. */
  readonly except?: Readonly<Record<string, string>>
}

/** The cases of one subject stay together, so a test may be longer than a room. */
const linesOf = (path: string): number => (path.endsWith('.test.ts') ? 500 : 300)

const at = (path: string, text: string): SourceFile => ({ path, text })

/** Every match of the pattern in the code of the files of `where`, comments left out. */
const never =
  (pattern: RegExp, where: RegExp = /./) =>
  ({ path, text }: SourceFile): string[] =>
    where.test(path) ? [...codeOf(text).matchAll(new RegExp(pattern, 'g'))].map(([found]) => found.trim()) : []

const rules: readonly Rule[] = [
  {
    name: 'rooms import only what the table allows',
    faults: boundaryFaults,
    canaries: [
      at('src/domain/pool/decide.ts', "import { createHash } from 'node:crypto'\n"),
      at('src/domain/workflow/state.ts', "import type { EventStore } from '../../ports/event-store.ts'\n"),
      at('src/domain/workflow/other.ts', "import { evaluate } from '@marcbachmann/cel-js'\n"),
      at('src/ports/cache.ts', "import { evolve } from '../domain/execution/state.ts'\n"),
      at('src/ports/cache.ts', "import {\n  type State,\n  evolve,\n} from '../domain/execution/state.ts'\n"),
      at('src/commands/pause.ts', "import { Pool } from 'pg'\n"),
      at('src/reactors/allocator.ts', "import { startWorker } from '../workers/worker.ts'\n"),
      at('src/workers/handlers/notify.ts', "import { createHandle } from '../../commands/handle.ts'\n"),
      at('src/projections/pools.ts', "export { rows } from '../queries/executions.ts'\n"),
      at('src/queries/pools.ts', "import { systemClock } from '../adapters/clock.ts'\n"),
      at('src/adapters/leases/redis.ts', "import { Tail } from '../event-store/tail.ts'\n"),
      at('src/adapters/connect.ts', "import { createApp } from '../app.ts'\n"),
      at('src/api/routes/pools.ts', "import { createApp } from '../../app.ts'\n"),
      at('src/api/routes/pools.ts', "const { Tail } = await import('../../adapters/event-store/tail.ts')\n"),
      at('src/queries/pools.ts', "import fastify from 'fastify'\n"),
      at('src/cli/runs.ts', "import type { App } from '../app.ts'\n"),
      at('src/sdk/client.ts', "import { createHandle } from '../commands/handle.ts'\n"),
      at('src/app.ts', "import { systemClock } from './adapters/clock.ts'\n"),
      at('src/somewhere/else.ts', ''),
    ],
  },
  {
    name: 'only config.ts reads the environment',
    faults: never(/process\.env\b|import \{[^}]*\benv\b[^}]*\} from 'node:process'/, /^src\/(?!config\.ts$)/),
    canaries: [
      at('src/start.ts', 'const port = process.env.PORT\n'),
      at('src/start.ts', "import { env } from 'node:process'\n"),
    ],
  },
  {
    name: 'only handle.ts appends to the log',
    // The bare word, so that `const { append } = store` is seen as well.
    faults: never(/(?<!#)\bappend\b/, /^src\/(?!adapters\/event-store\/|ports\/)/),
    canaries: [
      'await store.append(stream, expected, events)',
      "await store['append'](stream, expected, events)",
      'const { append } = store',
    ].map((code) => at('src/reactors/dispatcher.ts', `${code}\n`)),
    except: {
      'src/adapters/measured.ts': 'it looks at the clock, and hands on what it was given',
      'src/adapters/tracing/traced.ts': 'it hands on what it was given, within a span',
      'src/commands/handle.ts': 'the one that does',
      'src/reactors/snapshot.ts': 'snapshots are no aggregate: they are decided on nothing and may be lost',
    },
  },
  {
    name: 'the domain has no clock, no chance and nothing to wait for',
    faults: never(
      /\bDate\.now\b|\bnew Date\(\)|\bMath\.random\b|\bset(Timeout|Interval|Immediate)\b|\basync\b|\bawait\b|\bperformance\b|\bprocess\./,
      /^src\/domain\//,
    ),
    canaries: [
      'Date.now()',
      'new Date()',
      'Math.random()',
      'setTimeout(f, 1)',
      'async () => 1',
      'await f()',
      'process.pid',
    ].map((code) => at('src/domain/pool/decide.ts', `export const a = ${code}\n`)),
  },
  {
    name: 'text never becomes code',
    faults: never(
      /\beval\(|\bnew Function\b|\bFunction\(|'node:vm'|\bshell: true\b|import \{[^}]*\bexec(Sync)?\b[^}]*\} from 'node:child_process'/,
      /^(src|bench|scripts|migrations)\//,
    ),
    canaries: [
      "eval('1')",
      "new Function('return 1')",
      "import vm from 'node:vm'",
      'spawn(a, { shell: true })',
      "import { exec } from 'node:child_process'",
    ].map((code) => at('src/workers/handlers/notify.ts', `${code}\n`)),
  },
  {
    name: 'files are named for what they export',
    faults: ({ path }) =>
      /(^|[/.-])(utils?|helpers?|managers?|services?|base|common|misc)([/.-]|$)/.test(path) ||
      !/^[a-z0-9./-]+$/.test(path)
        ? [path]
        : [],
    canaries: ['src/domain/utils.ts', 'src/api/request-helpers.ts', 'src/common/a.ts', 'src/domain/StageGraph.ts'].map(
      (path) => at(path, ''),
    ),
  },
  {
    name: 'nothing is left to be done later',
    faults: ({ text }) => text.match(/\b(TODO|FIXME|XXX)\b/g) ?? [],
    canaries: [at('src/app.ts', '// TODO: later\n'), at('test/a.test.ts', '// FIXME\n')],
  },
  {
    name: 'no test is left out or run alone; one that cannot run says why',
    faults: never(
      /\b(it|test|describe)(\.\w+)*\.(skip|only|todo|fails)\b|\bx(it|describe)\(|\b(skip|skipIf)\(\s*\)/,
      /^test\//,
    ),
    canaries: ["it.skip('a')", "describe.only('a')", "test.concurrent.only('a')", "it.todo('a')", 'context.skip()'].map(
      (code) => at('test/a.test.ts', `${code}\n`),
    ),
  },
  {
    name: 'a file is short enough to be one room',
    faults: ({ path, text }) => {
      const lines = text.split('\n').length - 1
      return lines > linesOf(path) ? [`${lines} lines`] : []
    },
    canaries: [at('src/app.ts', '\n'.repeat(301)), at('test/a.test.ts', '\n'.repeat(501))],
  },
  {
    name: 'imports of files name their extension',
    faults: (file) =>
      importsOf(file)
        .filter(({ specifier }) => specifier.startsWith('.') && !/\.(ts|js|json)$/.test(specifier))
        .map(({ specifier }) => specifier),
    canaries: [
      at('src/app.ts', "import { a } from './a'\n"),
      at('src/app.ts', "import './a'\n"),
      at('src/app.ts', "const a = import('./a')\n"),
    ],
  },
  {
    name: 'classes are exported by name',
    faults: never(/\bexport default (abstract )?class\b/),
    canaries: [at('src/app.ts', 'export default class App {}\n')],
  },
]

/** Without this file, whose canaries break every rule. */
const files = sourceFiles().filter(({ path }) => path !== 'test/tidy.test.ts')

describe('tidy', () => {
  it('sees the files', () => {
    expect(files.length).toBeGreaterThan(150)
    expect(files.flatMap(importsOf).length).toBeGreaterThan(500)
  })

  it('reads imports of every form', () => {
    const text = [
      "import a, { type B } from './a.ts'",
      "import {\n  type C,\n  type D,\n} from './c.ts'",
      "import type { E } from 'e'",
      "export * from './f.ts'",
      "// import g from './g.ts'",
      "/** import h from './h.ts' */",
    ].join('\n')
    expect(importsOf(at('src/x/y.ts', text)).map(({ target, typeOnly }) => [target, typeOnly])).toEqual([
      ['src/x/a.ts', false],
      ['src/x/c.ts', true],
      ['e', true],
      ['src/x/f.ts', false],
    ])
  })

  for (const { name, faults, canaries, except = {} } of rules)
    describe(name, () => {
      it('holds', () => {
        const found = files.flatMap((file) => faults(file).map((fault) => ({ path: file.path, fault })))
        expect(found.filter(({ path }) => !(path in except)).map(({ path, fault }) => `${path}: ${fault}`)).toEqual([])
        // An exception that nothing needs any more goes.
        const broken = new Set(found.map(({ path }) => path))
        expect(Object.keys(except).filter((path) => !broken.has(path))).toEqual([])
      })

      it('is seen when it is broken', () => {
        for (const canary of canaries) expect(faults(canary), JSON.stringify(canary)).not.toEqual([])
      })
    })

  it('has a table of rooms without rows that nothing uses', () => {
    const used = ([room]: (typeof rooms)[number]) =>
      files.some(({ path }) => path === room || (room.endsWith('/') && path.startsWith(room)))
    expect(rooms.filter((row) => !used(row)).map(([room]) => room)).toEqual([])
  })
})
