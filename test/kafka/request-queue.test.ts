// That connections which have nothing to do do nothing: kafkajs as delivered looks every millisecond, for ever.
import { createRequire } from 'node:module'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { RequestQueue } from '../../src/adapters/kafka/client.ts'
import '../../src/adapters/kafka/client.ts'

type Queue = RequestQueue & {
  push(request: object): void
  fulfillRequest(response: object): void
  maybeThrottle(ms: number): void
}
const RequestQueueOfKafka = createRequire(import.meta.url)('kafkajs/src/network/requestQueue') as new (
  options: object,
) => Queue

describe('a queue of requests to a broker', () => {
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())

  const ignore = () => {}
  const logger = { debug: ignore, warn: ignore }
  const open = () =>
    new RequestQueueOfKafka({ maxInFlightRequests: 1, requestTimeout: 1_000, enforceRequestTimeout: false, logger })
  const request = (correlationId: number, sendRequest: () => void = ignore) => ({
    entry: { correlationId, resolve: ignore, reject: ignore },
    expectResponse: true,
    sendRequest,
  })
  const answer = (correlationId: number) => ({ correlationId, size: 0, payload: null })

  it('has no timer when nothing waits', () => {
    const queue = open()
    queue.push(request(1))
    queue.fulfillRequest(answer(1))
    expect(vi.getTimerCount()).toBe(0)
  })

  it('sends what waits when the throttling ends, looks at it once until then, and not again after it', () => {
    const queue = open()
    queue.maybeThrottle(5_000)
    const send = vi.fn()
    const looks = vi.spyOn(queue, 'checkPendingRequests')
    queue.push(request(1, send))
    vi.advanceTimersByTime(4_999)
    expect(send).not.toHaveBeenCalled()
    vi.advanceTimersByTime(1)
    expect(send).toHaveBeenCalledOnce()
    expect(looks).toHaveBeenCalledOnce()
    expect(vi.getTimerCount()).toBe(0)
  })

  it('sends what waits for another answer when that comes', () => {
    const queue = open()
    const send = vi.fn()
    queue.push(request(1))
    queue.push(request(2, send))
    expect(send).not.toHaveBeenCalled()
    queue.fulfillRequest(answer(1))
    expect(send).toHaveBeenCalledOnce()
  })
})
