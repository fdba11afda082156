// The `millrace` command: settings → adapters → app → roles.
import { Command, CommanderError } from 'commander'
import packageFile from '../package.json' with { type: 'json' }
import { AuditKeyUnusable } from './adapters/audit-key.ts'
import { DataDirectoryInUse, DataDirectoryUnusable } from './adapters/data-directory.ts'
import { EventStoreUnreachable, EventStoreUrlInvalid } from './adapters/event-store/eventstoredb-url.ts'
import { ThreadCrashed } from './adapters/event-store/log-thread.ts'
import { KafkaUnreachable, KafkaUrlInvalid } from './adapters/kafka/await-kafka.ts'
import { DatabaseUnreachable } from './adapters/read-models/await-postgres.ts'
import { MigrationsDiffer } from './adapters/read-models/migrate.ts'
import { exportAudit, printCheckpoint, printKey, verifyAudit } from './cli/audit.ts'
import { demo } from './cli/demo.ts'
import {
  actions,
  changeProjection,
  listProjections,
  rebuildProjection,
  showDifference,
  skipEvent,
} from './cli/projections.ts'
import { cleanUp, previewRetention, setRetention, showRetention, unarchive } from './cli/retention.ts'
import { BadAddress, Refused, ServerBusy, ServerUnreachable } from './cli/server.ts'
import { verify } from './cli/verify.ts'
import { ConfigError, flagOf, readConfig, settingNames, variableOf } from './config.ts'
import { migrateReadModels, SchemaDiffers } from './migrate.ts'
import { StoreUnavailable } from './ports/event-store.ts'
import { LeasesUnavailable } from './ports/leases.ts'
import { CannotListen } from './roles/starting.ts'
import { start } from './start.ts'
import { HandlersUnusable } from './workers/handlers/load.ts'

/** As sysexits.h has them, but for usage, where 2 is what shells and their users know. */
const EXIT = {
  refused: 1,
  usage: 2,
  unavailable: 69,
  software: 70,
  cannotCreate: 73,
  ioError: 74,
  temporary: 75,
  config: 78,
} as const

/** What is no bug of ours: its message is all there is to say. */
const exitCodes: readonly (readonly [error: abstract new (...args: never[]) => Error, code: number])[] = [
  [ConfigError, EXIT.config],
  [BadAddress, EXIT.usage],
  [Refused, EXIT.refused],
  [ServerUnreachable, EXIT.unavailable],
  [ServerBusy, EXIT.temporary],
  [HandlersUnusable, EXIT.config],
  [AuditKeyUnusable, EXIT.config],
  [MigrationsDiffer, EXIT.config],
  [SchemaDiffers, EXIT.refused],
  [DataDirectoryInUse, EXIT.temporary],
  [DataDirectoryUnusable, EXIT.cannotCreate],
  [CannotListen, EXIT.temporary],
  [DatabaseUnreachable, EXIT.unavailable],
  [EventStoreUnreachable, EXIT.unavailable],
  [EventStoreUrlInvalid, EXIT.config],
  [LeasesUnavailable, EXIT.unavailable],
  [KafkaUnreachable, EXIT.unavailable],
  [KafkaUrlInvalid, EXIT.config],
  [StoreUnavailable, EXIT.ioError],
  [ThreadCrashed, EXIT.software],
]

const said: Readonly<Record<(typeof settingNames)[number], string>> = {
  port: 'port of the HTTP API; 0 picks a free one (8080)',
  healthPort: 'port of /health and /metrics in a process without the API; 0 picks a free one (none)',
  host: 'address it listens on (127.0.0.1)',
  data: 'folder of everything that the embedded profile keeps (./data)',
  archive: 'the folder that retention puts streams of runs into (<data>/archive)',
  eventStore: 'the log: embedded:<folder>, esdb://… or esdb+discover://… (embedded:<data>/log)',
  queue: 'the work queue: memory: or kafka://… (memory:)',
  leases: 'the leases: memory:, redis://… or rediss://… (memory:)',
  cache: 'answers that are kept for a moment: memory:, redis://… or rediss://… (memory:)',
  database: 'the read models: embedded:<folder> or postgres://… (embedded:<data>)',
  eventStoreWaitMs: 'how long a start waits for an EventStoreDB that is not there yet, milliseconds (30000)',
  databaseReplica: 'a replica of the database, for what the API is asked: postgres://… (none)',
  databaseWaitMs:
    'how long a start waits for a PostgreSQL, a Redis or a Kafka that is not there yet, milliseconds (30000)',
  roles: 'what this process does: api,engine,reactors,projector,worker (all)',
  queues: 'queues its worker serves, each with an optional limit: default,heavy=2 (default)',
  labels: 'what its worker has, for stages that ask for it with runsOn: gpu,linux (none)',
  handlers: 'modules with handlers of your own, separated by commas (none)',
  concurrency: 'how many attempts its worker runs at once (16)',
  allowOutbound: 'private hosts or CIDRs that http stages may reach, separated by commas (none)',
  auditKey:
    'file with the private key (Ed25519, PKCS #8 in PEM) that exports of the audit are signed with; made where there is none (<data>/audit-key.pem)',
  cleanUpMinutes: 'how often what retention policies say is taken away, minutes; 0 is never (60)',
  keepWorkHours: 'how long the working directory of a run is kept after its end, hours (24)',
  traces: 'collector of traces, OTLP over HTTP: http://127.0.0.1:4318/v1/traces (none)',
  logLevel: 'trace, debug, info, warn, error, fatal or silent (info)',
  leaseMs: 'how long an attempt is its worker’s without a heartbeat, milliseconds (30000)',
  heartbeatMs: 'time between heartbeats, milliseconds (500)',
}

const program = new Command('millrace')
  .description(packageFile.description)
  .version(packageFile.version)
  .exitOverride()
  .configureOutput({
    outputError: (text, write) => {
      const [line = '', ...hints] = text
        .trim()
        .replace(/^error: /, '')
        .split('\n(')
      write(`millrace: ${printable([line, ...hints].join(' ('))}\n`)
    },
  })

withSettings(program.command('start').description('run Millrace until SIGTERM')).action(async (flags) => {
  await start(readConfig(flags))
})
withSettings(program.command('migrate').description('bring the tables of the read models up to date'))
  .option('--status', 'only say which migrations have run and which have not')
  .option('--down', 'take the newest migration back')
  .option('--dry-run', 'print the SQL of the migrations that have not run, and run none')
  .option('--validate', 'hold the tables against what the migrations make and the program expects')
  .action(async ({ status, down, dryRun, validate, ...flags }) => {
    const how = [status && 'status', down && 'down', dryRun && 'dry-run', validate && 'validate'].filter(Boolean)
    if (how.length > 1) throw new ConfigError([`--${how.join(' and --')} cannot be asked for at once`])
    await migrateReadModels(readConfig(flags), how[0] ?? 'up')
  })
program
  .command('demo')
  .description('run an example workflow on a temporary data folder and show what happens')
  .option('--keep', 'keep the data folder; else it is removed, unless something went wrong')
  .action(demo)

program
  .command('verify')
  .description('hold a running Millrace against its log: the log itself, the read models, and what is under way')
  .option('--url <url>', 'where it listens', 'http://127.0.0.1:8080')
  .option('--repair', 'make what has drifted from the log anew; the log itself is never touched')
  .option('--no-read-models', 'leave the read models out')
  .option('--json', 'print the result as JSON')
  .addHelpText(
    'after',
    '\nEnds with 0 when nothing was found, 1 when something was, or is left after the repair, 2 for wrong usage,\n69 when the server cannot be reached, 75 when it cannot do it now or could not check everything.',
  )
  .action(async (options) => {
    process.exitCode = await verify(options)
  })

const audit = program
  .command('audit')
  .description('what is on record: export it, and verify an export without a server')
const ofAudit = (usage: string, description: string): Command =>
  audit.command(usage).description(description).option('--url <url>', 'where it listens', 'http://127.0.0.1:8080')
ofAudit('export', 'the chain of a namespace, as lines of JSON with a signed checkpoint at the end')
  .option('--namespace <name>', 'whose it is', 'default')
  .option('--from <sequence>', 'first record (1)')
  .option('--out <file>', 'a new file to write it to (standard output)')
  .action(exportAudit)
ofAudit('checkpoint', 'where the chain of a namespace ends, signed: to be kept elsewhere')
  .option('--namespace <name>', 'whose it is', 'default')
  .action(printCheckpoint)
ofAudit('key', 'the public key of the signatures').action(printKey)
audit
  .command('verify <file>')
  .description('check an export by itself: every record, their order, and that none is missing')
  .option(
    '--key <file>',
    'public key of the signatures, as millrace audit key prints it: without it a cut end cannot be seen',
  )
  .option('--checkpoint <file...>', 'checkpoints that were kept: what is up to there has to be as it was')
  .addHelpText('after', '\nEnds with 0 when every record is as it was, 1 when one is not, or a file cannot be used.')
  .action(async (file, options) => {
    process.exitCode = await verifyAudit(file, options)
  })

const retention = program.command('retention').description('what a running Millrace keeps for how long, and what goes')
const ofRetention = (usage: string, description: string): Command =>
  retention
    .command(usage)
    .description(description)
    .option('--url <url>', 'where it listens', 'http://127.0.0.1:8080')
    .option('--namespace <name>', 'whose it is', 'default')
ofRetention('show', 'the policy, what there is, and what could be set')
  .option('--json', 'print it as JSON')
  .action(showRetention)
ofRetention('set <file>', 'set the policy of a file, JSON or YAML').action(setRetention)
ofRetention('preview [file]', 'what a clean-up would take, by the policy that holds or that of a file')
  .option('--json', 'print it as JSON')
  .action(previewRetention)
ofRetention('clean-up', 'take it now, which else happens every --clean-up-minutes').action(cleanUp)
ofRetention('unarchive <execution>', 'put the stream of a run back into the log').action(unarchive)

const projections = program
  .command('projections')
  .description('the read models of a running Millrace: how they are, and what to do')
const ofProjections = (usage: string, description: string): Command =>
  projections.command(usage).description(description).option('--url <url>', 'where it listens', 'http://127.0.0.1:8080')

ofProjections('list', 'how far each is, what it has stopped before, how its rebuild goes')
  .option('--json', 'print it as JSON')
  .action(listProjections)
ofProjections('rebuild <name>', 'build it again beside the live one, then swap')
  .option('--hold', 'do not swap before it is asked for')
  .option('--no-wait', 'only ask for it')
  .option('--reason <text>', 'why, for whoever reads it later')
  .action(async (name, options) => {
    process.exitCode = await rebuildProjection(name, options)
  })
ofProjections('diff <name>', 'how the rows that were built last differed from the live ones').action(
  async (name, options) => {
    process.exitCode = await showDifference(name, options)
  },
)
const about: Readonly<Record<(typeof actions)[number], string>> = {
  cancel: 'end a rebuild, and drop what it has built',
  swap: 'swap in a rebuild that was held',
  rollback: 'exchange the live rows and those that were live before',
  forget: 'drop the rows that were live before',
  retry: 'have one that has stopped try its event again',
}
for (const action of actions)
  ofProjections(`${action} <name>`, about[action]).action((name, options) => changeProjection(action, name, options))
ofProjections('skip <name>', 'leave out the event that it has stopped before; the log records it')
  .requiredOption('--position <position>', 'of that event')
  .requiredOption('--reason <text>', 'why, for whoever reads it later')
  .action(skipEvent)

// Whoever reads along may leave, as `head` does; what the program does goes on without a reader.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
})

try {
  await program.parseAsync()
} catch (error) {
  // At once: after a failure there is no telling what still runs and keeps the process.
  process.exit(report(error))
}

function withSettings(command: Command): Command {
  for (const name of settingNames) command.option(`--${flagOf(name)} <value>`, `${said[name]} [${variableOf(name)}]`)
  return command
}

/** One line for what whoever called can mend; a stack only for a bug of ours. */
function report(error: unknown): number {
  // commander has said its line already.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT.usage
  const code = exitCodes.find(([kind]) => error instanceof kind)?.[1]
  if (code === undefined) {
    console.error(error)
    return 1
  }
  for (const line of (error as Error).message.split('\n')) console.error(`millrace: ${printable(line)}`)
  return code
}

/** What was given to the program must not steer the terminal that shows it. */
function printable(line: string): string {
  return line.replaceAll(/\p{Cc}/gu, (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`)
}
