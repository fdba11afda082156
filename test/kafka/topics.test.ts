import { describe, expect, it } from 'vitest'
import { deadLetterTopic, routeOfTopic, servedRoute, topicOf } from '../../src/adapters/work-queue/kafka-topics.ts'
import { routeOf } from '../../src/domain/workflow/route.ts'

const long = (letter: string) => letter.repeat(63)
const longest = routeOf(long('q'), ['a', 'b', 'c', 'd'].map(long))

describe('the topics of routes', () => {
  it('have the name of the route', () => {
    expect(topicOf('millrace', 'default')).toBe('millrace.work.default')
    expect(topicOf('millrace', 'heavy-duty.gpu.linux')).toBe('millrace.work.heavy-duty.gpu.linux')
    expect(routeOfTopic('millrace', 'millrace.work.heavy-duty.gpu.linux')).toBe('heavy-duty.gpu.linux')
  })

  it('are none that Kafka takes for the same, which it does where names differ in . and _ alone', () => {
    const routes = [
      'a_b',
      'a.b',
      'a-b',
      'dead-letter',
      'dead_letter',
      `${long('a')}`,
      `${long('a').slice(1)}b`,
      longest,
    ]
    const topics = routes.map((route) => topicOf('millrace', route))
    const all = [...topics, deadLetterTopic('millrace')].map((topic) => topic.replaceAll('.', '_'))
    expect(new Set(all).size).toBe(routes.length + 1)
    expect(topics.filter((topic) => !/^[a-zA-Z0-9._-]{1,249}$/.test(topic))).toEqual([])
    for (const route of routes.slice(0, 5)) expect(routeOfTopic('millrace', topicOf('millrace', route))).toBe(route)
  })

  it('with the longest prefix and the longest names are short enough', () => {
    expect(topicOf('p'.repeat(40), longest).length).toBeLessThanOrEqual(249)
  })

  it.each(['default', 'a_b', 'dead-letter', 'default.gpu', 'default.gpu.linux', longest])(
    'of %s are known by who serves it',
    (route) => {
      const [queue = '', ...labels] = route.split('.')
      const topic = topicOf('millrace', route)
      const serving = { queues: ['other', queue], labels: ['other', ...labels] }
      expect(servedRoute('millrace', topic, serving)).toBe(route)
      expect(servedRoute('millrace', topic, { ...serving, queues: ['other'] })).toBeUndefined()
      if (labels.length > 0)
        expect(servedRoute('millrace', topic, { ...serving, labels: labels.slice(1) })).toBeUndefined()
    },
  )
})
