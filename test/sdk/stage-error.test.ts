import fc from 'fast-check'
import { expect, it } from 'vitest'
import { StageFailure } from '../../src/ports/handler.ts'
import { toStageError } from '../../src/workers/handlers/stage-error.ts'

const circular: { self?: unknown } = {}
circular.self = circular
it('keeps what a failure says of itself', () => {
  const error = { code: 'EXIT_NONZERO', message: 'no', exitCode: 3, retryable: true, details: { a: [1] } }
  expect(toStageError(new StageFailure(error))).toEqual(error)
  expect(toStageError(new StageFailure({ code: 'KILLED', message: 'x', signal: 'SIGKILL' }))).toEqual({
    code: 'KILLED',
    message: 'x',
    signal: 'SIGKILL',
  })
})

it('knows a failure from another copy of the package by its name', () => {
  const foreign = Object.assign(new Error('outer'), {
    name: 'StageFailure',
    error: { code: 'QUOTA', message: 'inner' },
  })
  expect(toStageError(foreign)).toEqual({ code: 'QUOTA', message: 'inner' })
})

it.each<[unknown, object]>([
  [new Error('boom'), { code: 'HANDLER_FAILED', message: 'boom' }],
  [Object.assign(new Error('gone'), { code: 'ECONNRESET' }), { code: 'ECONNRESET', message: 'gone' }],
  [
    Object.assign(new Error('full'), { code: 'quota-exceeded', retryable: false, details: { used: 5 } }),
    { code: 'QUOTA_EXCEEDED', message: 'full', retryable: false, details: { used: 5 } },
  ],
  [Object.assign(new Error('odd'), { code: 42, retryable: 'yes' }), { code: 'HANDLER_FAILED', message: 'odd' }],
  [Object.assign(new Error('odd'), { code: '???' }), { code: 'HANDLER_FAILED', message: 'odd' }],
  ['only text', { code: 'HANDLER_FAILED', message: 'only text' }],
  [null, { code: 'HANDLER_FAILED', message: 'the handler threw null without a message' }],
  [undefined, { code: 'HANDLER_FAILED', message: 'the handler threw undefined without a message' }],
  [7, { code: 'HANDLER_FAILED', message: 'the handler threw number without a message' }],
  [new TypeError(), { code: 'HANDLER_FAILED', message: 'the handler threw TypeError without a message' }],
  [
    { message: 'x', details: circular },
    { code: 'HANDLER_FAILED', message: 'x', details: 'left out: not plain JSON' },
  ],
  [
    { message: 'x', details: 1n },
    { code: 'HANDLER_FAILED', message: 'x', details: 'left out: not plain JSON' },
  ],
  [
    { message: 'x', details: ['\0'] },
    { code: 'HANDLER_FAILED', message: 'x', details: 'left out: not plain JSON' },
  ],
  [
    { message: 'x', details: 'y'.repeat(20_000) },
    { code: 'HANDLER_FAILED', message: 'x', details: 'left out: larger than 16 KiB' },
  ],
])('of %s is %j', (thrown, expected) => expect(toStageError(thrown)).toEqual(expected))

it('survives what throws when it is looked at', () => {
  const refuse = (): never => {
    throw new Error('trapped')
  }
  const { code, message } = toStageError(new Proxy({}, { get: refuse, getPrototypeOf: refuse, has: refuse }))
  expect([code, message]).toEqual(['HANDLER_FAILED', 'the handler threw object without a message'])
  const getter = Object.defineProperty(new Error('seen'), 'details', { get: refuse })
  expect(toStageError(getter)).toEqual({ code: 'HANDLER_FAILED', message: 'seen' })
})

it('bounds and cleans the message', () => {
  const { message } = toStageError(new Error(`\0${'x'.repeat(10_000)}`))
  expect(message).toHaveLength(4_096)
  expect(message.startsWith('\uFFFDx')).toBe(true)
  expect(message.endsWith('…')).toBe(true)
})

it('holds for whatever is thrown', () => {
  fc.assert(
    fc.property(fc.anything({ withBigInt: true, withNullPrototype: true, withObjectString: true }), (thrown) => {
      const error = toStageError(thrown)
      expect(error.code).toMatch(/^[A-Z][A-Z0-9_]*$/)
      expect(error.message.length).toBeLessThanOrEqual(4_096)
      expect(JSON.parse(JSON.stringify(error))).toEqual(error)
    }),
  )
})
