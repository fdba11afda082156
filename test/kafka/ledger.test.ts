import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeNotes, encodeNotes, Ledger, NO_NOTES, withOwn } from '../../src/adapters/kafka/ledger.ts'

/** The ledger of a partition of which `count` offsets from `from` on have arrived. */
function arrived(from: number, count: number, ledger = new Ledger(from)): Ledger {
  for (let offset = from; offset < from + count; offset++) ledger.arrived(offset)
  return ledger
}

describe('the ledger of a partition', () => {
  it('has everything before its position done, whatever is done in whatever order', () => {
    fc.assert(
      fc.property(fc.shuffledSubarray([...Array(40).keys()]), fc.nat(20), (done, from) => {
        const ledger = arrived(from, 40)
        for (const at of done) ledger.done(from + at)
        const open = [...Array(40).keys()].filter((at) => !done.includes(at))
        expect(ledger.position).toBe(from + (open[0] ?? 40))
      }),
    )
  })

  it('is the same to whoever takes the partition over from what was committed', () => {
    const steps = fc.array(fc.record({ offset: fc.nat(39), does: fc.constantFrom('runs', 'done', 'failed') }))
    fc.assert(
      fc.property(steps, (all) => {
        const ledger = arrived(100, 40)
        for (const { offset, does } of all) {
          if (does === 'runs') ledger.runs(100 + offset)
          else if (does === 'done') ledger.done(100 + offset)
          else ledger.failed(100 + offset, 2)
        }
        const { position, notes } = ledger
        const read = decodeNotes(position, encodeNotes(position, notes))
        expect(read).toEqual(notes)
        const next = new Ledger(position, read)
        const come = [...Array(140 - position).keys()].map((at) => position + at)
        const taken = come.filter((offset) => next.arrived(offset))
        const done = (offset: number) => all.some((one) => one.does === 'done' && 100 + one.offset === offset)
        expect(taken).toEqual(come.filter((offset) => !done(offset)))
        for (const offset of taken) expect(next.deliveries(offset)).toBe(ledger.deliveries(offset))
        expect(next.position).toBe(position)
      }),
    )
  })

  it('takes nothing twice, and goes on after offsets that hold nothing', () => {
    const ledger = arrived(5, 2)
    expect([ledger.arrived(5), ledger.arrived(9), ledger.arrived(8)]).toEqual([false, true, false])
    ledger.done(5)
    ledger.done(6)
    expect(ledger.position).toBe(9)
  })

  it('keeps what it has done over a rebalance in which that was not committed', () => {
    const before = arrived(0, 10)
    for (const offset of [0, 1, 4, 7]) before.done(offset)
    const after = new Ledger(0, withOwn(NO_NOTES, before, 0))
    // It ran on while the group was put together anew.
    after.done(8)
    const taken = [...Array(10).keys()].filter((offset) => after.arrived(offset))
    expect(taken).toEqual([2, 3, 5, 6, 9])
  })

  it('says what there is room for, and nothing that is wrong', () => {
    const ledger = arrived(0, 20_000)
    for (let offset = 1; offset < 20_000; offset += 2) ledger.done(offset)
    const text = encodeNotes(0, ledger.notes)
    expect(text.length).toBeLessThanOrEqual(4_000)
    const { done } = decodeNotes(0, text)
    expect(done.length).toBeGreaterThan(300)
    expect(done).toEqual(ledger.notes.done.slice(0, done.length))
  })

  it.each(['', 'other', '2;;;', '1;a;b', '1;x!;;', null, undefined])('reads nothing in notes such as %j', (text) => {
    expect(decodeNotes(7, text)).toEqual(NO_NOTES)
  })
})
