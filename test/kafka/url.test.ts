import { describe, expect, it } from 'vitest'
import { parseKafkaUrl } from '../../src/adapters/kafka/url.ts'

describe('the URL of Kafka', () => {
  it('names brokers, each with a port or 9092', () => {
    expect(parseKafkaUrl('kafka://a:9093,b.example.com,[::1]:1')).toEqual({
      brokers: ['a:9093', 'b.example.com:9092', '[::1]:1'],
      ...{ ssl: false, prefix: 'millrace', partitions: 12, replication: -1 },
    })
  })

  it('has an account and how things are made', () => {
    const parameters = 'ssl=true&mechanism=scram-sha-512&prefix=ci&partitions=3&replication=2'
    expect(parseKafkaUrl(`kafka://me:p%40ss@a:1/?${parameters}`)).toEqual({
      ...{ brokers: ['a:1'], ssl: true, prefix: 'ci', partitions: 3, replication: 2 },
      sasl: { mechanism: 'scram-sha-512', username: 'me', password: 'p@ss' },
    })
  })

  it.each([
    'http://a:1',
    'kafka://',
    'kafka://a:0',
    'kafka://a:65536',
    'kafka://a:1,',
    'kafka://me:secret@',
    'kafka://me:secret@a:1?ssl=perhaps',
    'kafka://me:secret@a:1?ssl_ca=x',
    'kafka://me:secret@a:1?partitions=0',
    'kafka://me:secret@a:1?prefix=with.dot',
    'kafka://me:secret%@a:1',
  ])('refuses %s without a word of its password', (text) => {
    expect(() => parseKafkaUrl(text)).toThrow(/^(is|has) /)
    expect(() => parseKafkaUrl(text)).not.toThrow(/secret/)
  })
})
