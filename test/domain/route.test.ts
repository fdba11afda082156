import { describe, expect, test } from 'vitest'
import type { Json } from '../../src/domain/message.ts'
import { movedTo, parseRoute, routeOf, serves } from '../../src/domain/workflow/route.ts'
import { faultsOf, onlyStage, shell, workflow } from '../support/documents.ts'

describe('a route', () => {
  test('is the queue and the labels, each once and in order', () => {
    expect(routeOf('default')).toBe('default')
    expect(routeOf('default', ['linux', 'gpu', 'linux'])).toBe('default.gpu.linux')
    expect(parseRoute('default.gpu.linux')).toEqual({ queue: 'default', labels: ['gpu', 'linux'] })
    expect(parseRoute('heavy')).toEqual({ queue: 'heavy', labels: [] })
  })
  test('keeps its labels in another queue', () => {
    expect(movedTo('heavy', 'default.gpu')).toBe('heavy.gpu')
    expect(movedTo('heavy', 'default')).toBe('heavy')
  })
  test.each([
    ['default', true],
    ['default.gpu', true],
    ['default.gpu.linux', true],
    ['default.gpu.windows', false],
    ['heavy', false],
    ['heavy.gpu', false],
    ['def', false],
  ])('%s is served by one with its queue and all its labels: %s', (route, expected) => {
    expect(serves(route, { queues: ['default', 'light'], labels: ['linux', 'gpu', 'ssd'] })).toBe(expected)
  })
})

describe('runsOn', () => {
  const queueOf = (stage: { [member: string]: Json }) => onlyStage(shell(stage)).queue
  test('becomes the route of the stage', () => {
    expect(queueOf({})).toBe('default')
    expect(queueOf({ runsOn: 'gpu' })).toBe('default.gpu')
    expect(queueOf({ runsOn: ['linux', 'gpu', 'gpu'], queue: 'heavy' })).toBe('heavy.gpu.linux')
  })
  test('goes for what stands in for the stage or undoes it, unless that says otherwise', () => {
    const step = (more: { [member: string]: Json } = {}) => ({ uses: 'shell', with: { run: 'undo' }, ...more })
    const stage = (fallback: Json, compensate: Json) =>
      onlyStage(shell({ queue: 'heavy', runsOn: ['gpu'], fallback, compensate }))
    const { fallback, compensate } = stage(step(), step({ queue: 'light' }))
    expect([fallback!.queue, compensate!.queue]).toEqual(['heavy.gpu', 'light.gpu'])
    const other = stage(step({ runsOn: 'arm' }), step({ runsOn: [] }))
    expect([other.fallback!.queue, other.compensate!.queue]).toEqual(['heavy.arm', 'heavy'])
  })
  const rule = 'starts with a lower-case letter and has at most 63 lower-case letters, digits, hyphens and underscores'
  const whole = 'expected a label, or a list of at most 4'
  test.each<[string, Json, string]>([
    ['a number', 4, ` ${whole}`],
    ['a map', { os: 'linux' }, ` ${whole}`],
    ['an empty list', [], ' expected at least one label'],
    ['five labels', ['a', 'b', 'c', 'd', 'e'], ` ${whole}`],
    ['upper case', 'GPU', ` the name of a label ${rule}`],
    ['a dot, which would be another label', ['gpu', 'x.y'], `/1 the name of a label ${rule}`],
    ['an expression', ['${{ input.os }}'], `/0 the name of a label ${rule}`],
    ['nothing', [''], `/0 the name of a label ${rule}`],
  ])('is not %s', (_, runsOn, said) => {
    expect(faultsOf(workflow({ a: shell({ runsOn }) }))).toEqual([`/stages/a/runsOn${said}`])
  })
  test.each(['wait', 'approval', 'signal', 'workflow'])('is refused where no worker runs it: %s', (uses) => {
    const given: { [handler: string]: Json } = {
      wait: { duration: '1s' },
      signal: { name: 'go' },
      workflow: { workflow: 'other' },
    }
    const step = { uses, with: given[uses] ?? {}, runsOn: 'gpu' }
    const said = `/runsOn \`runsOn\` has no effect on a ${uses}: no worker runs it`
    expect(faultsOf(workflow({ a: step }))).toEqual([`/stages/a${said}`])
    const inStep = faultsOf(workflow({ a: shell({ fallback: step }) }))
    expect(inStep).toEqual([`/stages/a/fallback${said}`])
  })
})
