// How the routes of work are named as topics. Kafka takes 249 of A-Z a-z 0-9 . _ - and takes names that differ in . and _ alone
// for the same; names of queues and labels are in lower case, so that upper case is free to say what could not be said otherwise.
import { createHash } from 'node:crypto'
import { parseRoute, routeOf } from '../../domain/workflow/route.ts'

/** With four labels and the prefix this still fits. */
const LONGEST_PART = 38
const KEPT = 25

/** An underscore is written as U; of a long name its beginning and a hash are kept. */
function encoded(name: string): string {
  const text = name.replaceAll('_', 'U')
  if (text.length <= LONGEST_PART) return text
  return `${text.slice(0, KEPT)}H${createHash('sha256').update(name).digest('hex').slice(0, 12)}`
}

const DEAD = 'dead-letter'
/** There may be a queue of that name. */
const encodedQueue = (queue: string): string => (queue === DEAD ? `Q${DEAD}` : encoded(queue))

export const startOf = (prefix: string): string => `${prefix}.work.`
export const deadLetterTopic = (prefix: string): string => startOf(prefix) + DEAD

export function topicOf(prefix: string, route: string): string {
  const { queue, labels } = parseRoute(route)
  return startOf(prefix) + [encodedQueue(queue), ...labels.map(encoded)].join('.')
}

/** The route whose work is in a topic, where whoever has these queues and labels takes it. */
export function servedRoute(
  prefix: string,
  topic: string,
  { queues, labels }: { readonly queues: readonly string[]; readonly labels: readonly string[] },
): string | undefined {
  const [first = '', ...rest] = topic.slice(startOf(prefix).length).split('.')
  const queue = queues.find((name) => encodedQueue(name) === first)
  const wanted = rest.map((part) => labels.find((label) => encoded(label) === part))
  if (queue === undefined || wanted.includes(undefined)) return undefined
  return routeOf(queue, wanted as string[])
}

/** What the topic is called, as far as its name says it: a long one is cut. */
export function routeOfTopic(prefix: string, topic: string): string {
  const name = topic.slice(startOf(prefix).length)
  return name.replace(/^Q/, '').replaceAll('U', '_')
}
