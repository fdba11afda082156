// What is asked of the brokers themselves: topics, offsets, groups.
import type { Admin, ITopicConfig } from 'kafkajs'
import type { Logger } from '../../ports/logger.ts'
import { createClient } from './client.ts'
import type { KafkaSettings } from './url.ts'

export type TopicConfig = Pick<ITopicConfig, 'numPartitions' | 'configEntries'>

export type Administration = {
  /** Asks through a connection that is made when it is needed, and anew after an error. */
  ask<T>(question: (admin: Admin) => Promise<T>): Promise<T>
  /** Makes the topic unless it is there; resolves once its partitions have leaders. */
  provide(topic: string, config: TopicConfig): Promise<void>
  /** Makes again what of these topics was provided once and is gone. */
  provideAgain(topics: readonly string[]): Promise<void>
  /** The names of those topics that begin with `start`, in order. */
  topics(start: string): Promise<readonly string[]>
  close(): Promise<void>
}

export function createAdministration(settings: KafkaSettings, logger: Logger): Administration {
  let admin: Promise<Admin> | undefined
  const provided = new Map<string, { readonly config: TopicConfig; readonly done: Promise<void> }>()

  async function connect(): Promise<Admin> {
    const made = createClient(settings, logger).admin()
    await made.connect()
    return made
  }

  async function drop(): Promise<void> {
    const old = admin
    admin = undefined
    // Who cannot be left is gone.
    await old?.then((one) => one.disconnect()).catch(() => {})
  }

  async function ask<T>(question: (admin: Admin) => Promise<T>): Promise<T> {
    admin ??= connect()
    const mine = admin
    try {
      return await question(await mine)
    } catch (error) {
      if (admin === mine) await drop()
      throw error
    }
  }

  const create = async (topic: string, config: TopicConfig): Promise<void> => {
    const { partitions, replication } = settings
    const wanted = { topic, numPartitions: partitions, replicationFactor: replication, ...config }
    const isThere = await ask(async (one) => {
      // Who may not make topics can do without, where others have made them.
      if ((await one.listTopics()).includes(topic)) return true
      return one.createTopics({ waitForLeaders: true, topics: [wanted] }).then(
        () => true,
        // Not an error of the connection, which others use as well.
        (error) => (isForbidden(error) ? false : Promise.reject(error)),
      )
    })
    if (!isThere) throw new Error(`there is no topic ${topic}, and this account may not make it`)
  }

  function provide(topic: string, config: TopicConfig): Promise<void> {
    const known = provided.get(topic)
    if (known !== undefined) return known.done
    const done = create(topic, config)
    provided.set(topic, { config, done })
    done.catch(() => provided.delete(topic))
    return done
  }

  return {
    ask,
    provide,
    async provideAgain(topics) {
      for (const topic of topics) {
        const known = provided.get(topic)
        if (known !== undefined) await create(topic, known.config)
      }
    },
    async topics(start) {
      const names = await ask((one) => one.listTopics())
      return names.filter((name) => name.startsWith(start)).sort()
    },
    close: drop,
  }
}

const isForbidden = ({ errors = [] }: { readonly errors?: readonly { readonly type?: string }[] }): boolean =>
  errors.some(({ type }) => type === 'TOPIC_AUTHORIZATION_FAILED')
