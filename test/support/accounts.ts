// The accounts that docs/distributed.md tells users to make, made on servers of tests: what is written there is what is tried.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Redis } from 'ioredis'
import kafkajs, { type Kafka, logLevel } from 'kafkajs'

// Node finds only some of its names.
const { AclOperationTypes, AclPermissionTypes, AclResourceTypes, ResourcePatternTypes } = kafkajs

const documentation = readFileSync(join(import.meta.dirname, '../../docs/distributed.md'), 'utf8')
/** As a shell would give them on: no word here has blanks. */
const unquoted = (word: string): string => word.replace(/^'(.*)'$/, '$1')
const linesOf = (program: string): string[][] =>
  documentation
    .split('\n')
    .filter((line) => line.startsWith(`${program} `))
    .map((line) => line.split(' ').slice(1).map(unquoted))

const OPERATIONS = { Read: AclOperationTypes.READ, Write: AclOperationTypes.WRITE, Delete: AclOperationTypes.DELETE }

function rightsOf(args: readonly string[]) {
  const text = { type: 'string' } as const
  const { values } = parseArgs({
    args: [...args],
    options: {
      ...{ add: { type: 'boolean' }, 'allow-principal': text, topic: text, group: text },
      ...{ operation: { type: 'string', multiple: true }, 'resource-pattern-type': text },
    },
  })
  const { topic, group, operation = [] } = values
  return operation.map((name) => ({
    principal: values['allow-principal']!,
    host: '*',
    permissionType: AclPermissionTypes.ALLOW,
    operation: OPERATIONS[name as keyof typeof OPERATIONS],
    resourceType: topic === undefined ? AclResourceTypes.GROUP : AclResourceTypes.TOPIC,
    resourceName: (topic ?? group)!,
    resourcePatternType:
      values['resource-pattern-type'] === 'prefixed' ? ResourcePatternTypes.PREFIXED : ResourcePatternTypes.LITERAL,
  }))
}

/** @param admin of the brokers */
export async function makeKafkaAccounts(admin: Kafka): Promise<void> {
  const client = admin.admin()
  await client.connect()
  try {
    await client.createAcls({ acl: linesOf('kafka-acls').flatMap(rightsOf) })
  } finally {
    await client.disconnect()
  }
}

/** Answers the URL of each account by its name. */
export async function makeRedisAccounts(url: string): Promise<Readonly<Record<'worker' | 'millrace', string>>> {
  const redis = new Redis(url)
  try {
    for (const [command = '', ...args] of linesOf('redis-cli')) await redis.call(command, ...args)
  } finally {
    redis.disconnect()
  }
  const of = (name: string) => url.replace('redis://', `redis://${name}:secret-of-${name}@`)
  return { worker: of('worker'), millrace: of('millrace') }
}

export const KAFKA_PASSWORDS = { admin: 'secret-of-admin', worker: 'secret-of-worker' } as const
export const QUIET = { logLevel: logLevel.NOTHING, retry: { retries: 0 } } as const
