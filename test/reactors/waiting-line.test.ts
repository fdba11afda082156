import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Amounts, fits, minus, NOTHING } from '../../src/domain/pool/amounts.ts'
import { type Request, WaitingLine } from '../../src/reactors/waiting-line.ts'

const slots = (count: number): Amounts => ({ ...NOTHING, slots: count })
let position = 0
const request = (key: string, overrides: Partial<Request> = {}): Request => ({
  key,
  flow: 'a',
  amounts: slots(1),
  priority: 0,
  atMs: 0,
  position: position++,
  ...overrides,
})
const lineOf = (...requests: Request[]): WaitingLine => {
  const line = new WaitingLine()
  for (const one of requests) line.add(one)
  return line
}
/** Serves one after another, a second apart from `fromMs` on, as long as somebody may go. */
function served(line: WaitingLine, free: Amounts, times: number, fromMs = 1_000): string[] {
  const keys: string[] = []
  for (let turn = 0; turn < times; turn++) {
    const next = line.next(free)
    if (next === undefined) break
    line.remove(next.key)
    line.served(next.flow, fromMs + turn * 1_000, 10_000 + turn)
    keys.push(next.key)
  }
  return keys
}

describe('who comes next', () => {
  it('is who has waited longest, and the higher priority before that', () => {
    const line = lineOf(
      request('late', { atMs: 2 }),
      request('early', { atMs: 1 }),
      request('high', { atMs: 3, priority: 1 }),
    )
    expect(served(line, slots(1), 9)).toEqual(['high', 'early', 'late'])
    expect(line.size).toBe(0)
  })

  it('is nobody for ever: ten seconds of waiting are worth a point of priority', () => {
    const line = lineOf(request('low', { atMs: 0 }))
    for (let n = 0; n < 20; n++) line.add(request(`high${n}`, { atMs: n * 1_000, priority: 1 }))
    const order = served(line, slots(1), 30)
    expect(order.indexOf('low')).toBe(10)
  })

  it('is of each workflow in turn, however many of one wait', () => {
    const many = Array.from({ length: 50 }, (_, n) => request(`a${n}`, { atMs: n }))
    const few = [1, 2, 3].map((n) => request(`b${n}`, { flow: 'b', atMs: 900 + n }))
    const order = served(lineOf(...many, ...few), slots(1), 8)
    expect(order).toEqual(['a0', 'b1', 'a1', 'b2', 'a2', 'b3', 'a3', 'a4'])
  })

  it('of a workflow with a lower priority waits for its age, not for the end of the others', () => {
    const line = lineOf(request('low', { flow: 'b', atMs: 0 }))
    for (let n = 0; n < 60; n++) line.add(request(`high${n}`, { atMs: 0, priority: 2 }))
    expect(served(line, slots(1), 60).indexOf('low')).toBeLessThanOrEqual(21)
  })

  it('may be a small one where the first does not fit, but not for ever', () => {
    const line = lineOf(request('big', { amounts: slots(4), atMs: 0 }))
    for (let n = 0; n < 300; n++) line.add(request(`small${n}`, { atMs: 1 + n }))
    expect(line.next(slots(3))?.key).toBe('small0')
    const overtaking = served(line, slots(3), 300)
    expect(overtaking).toHaveLength(99)
    expect(overtaking).not.toContain('big')
    expect(line.first()?.key).toBe('big')
    // What becomes free is kept for it now, and once it went the others follow.
    expect(line.next(slots(3))).toBeUndefined()
    expect(served(line, slots(4), 2)).toEqual(['big', expect.stringContaining('small')])
  })

  it('names those who ask for more than there is', () => {
    const line = lineOf(
      request('big', { amounts: slots(4) }),
      request('small'),
      request('large', { amounts: slots(5) }),
    )
    expect(line.tooLarge(slots(4)).map(({ key }) => key)).toEqual(['large'])
    expect(
      line
        .tooLarge(slots(0))
        .map(({ key }) => key)
        .sort(),
    ).toEqual(['big', 'large', 'small'])
  })
})

const requests = fc.array(
  fc.record({
    flow: fc.constantFrom('a', 'b', 'c'),
    slots: fc.integer({ min: 1, max: 3 }),
    priority: fc.integer({ min: -100, max: 100 }),
    atMs: fc.integer({ min: 0, max: 100_000 }),
    leaves: fc.boolean(),
  }),
  { minLength: 1, maxLength: 60 },
)

describe('any line', () => {
  it('serves everybody who stays, once, and only what fits', () => {
    fc.assert(
      fc.property(requests, fc.integer({ min: 3, max: 6 }), (specs, capacity) => {
        const line = new WaitingLine()
        const all = specs.map((spec, n) => request(String(n), { ...spec, amounts: slots(spec.slots) }))
        for (const one of all) line.add(one)
        for (const [n, { leaves }] of specs.entries()) if (leaves) line.remove(String(n))
        const left = all.filter((_, n) => !specs[n]!.leaves)
        expect(line.size).toBe(left.length)
        const order: string[] = []
        const held: Request[] = []
        let free = slots(capacity)
        while (line.size > 0) {
          const next = line.next(free)
          if (next === undefined) {
            // Whoever holds something gives it back in the end; with nothing held, somebody fits.
            const first = held.shift()
            expect(first).toBeDefined()
            free = minus(free, slots(-first!.amounts.slots))
            continue
          }
          expect(fits(next.amounts, free)).toBe(true)
          free = minus(free, next.amounts)
          held.push(next)
          order.push(next.key)
          line.remove(next.key)
          line.served(next.flow, 200_000 + order.length, order.length)
        }
        expect(order.sort()).toEqual(left.map(({ key }) => key).sort())
      }),
      { numRuns: 500 },
    )
  })
})
