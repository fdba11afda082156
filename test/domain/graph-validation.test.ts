import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { validateGraph } from '../../src/domain/execution/graph.ts'
import { anyGraph, diamond, messages, reachable, stage } from '../support/graphs.ts'

describe('validation', () => {
  test('finds nothing wrong with a diamond', () => {
    expect(validateGraph(diamond)).toEqual([])
  })
  test('names unknown, repeated and own needs, each at its place', () => {
    expect(messages([stage('a', 'nope', 'a'), stage('b', 'a', 'a')])).toEqual([
      '/stages/a/needs/0 there is no stage called "nope"',
      '/stages/a/needs/1 a stage cannot need itself',
      '/stages/b/needs/1 "a" is needed twice',
    ])
  })
  test('names two stages of one name', () => {
    expect(messages([stage('a'), stage('a')])).toEqual(['/stages/a two stages are called "a"'])
  })
  test('spells every cycle out, once', () => {
    const stages = [stage('a', 'c'), stage('b', 'a'), stage('c', 'b'), stage('x', 'a', 'y'), stage('y', 'x')]
    expect(messages(stages)).toEqual([
      '/stages/a/needs/0 the stages need each other in a cycle: a → c → b → a',
      '/stages/x/needs/1 the stages need each other in a cycle: x → y → x',
    ])
  })
  test('reports faults of every kind at once', () => {
    expect(messages([stage('a', 'b'), stage('b', 'a', 'b', 'z')])).toHaveLength(3)
  })
  test('escapes names in pointers', () => {
    expect(validateGraph([stage('a/b~c', 'x')])[0]?.pointer).toBe('/stages/a~1b~0c/needs/0')
  })
  test('takes 1,000 stages and refuses 1,001', () => {
    const chain = (length: number) =>
      Array.from({ length }, (_, i) => stage(`s${i}`, ...(i === 0 ? [] : [`s${i - 1}`])))
    expect(validateGraph(chain(1_000))).toEqual([])
    expect(messages(chain(1_001))).toEqual(['/stages a workflow has at most 1,000 stages; this one has 1001'])
  })
  test('a cycle is found exactly where some stage waits for itself', () => {
    fc.assert(
      fc.property(anyGraph, (stages) => {
        const inCycles = stages.filter(({ id }) => reachable(stages, id).has(id))
        const faults = validateGraph(stages)
        expect(faults.length > 0).toBe(inCycles.length > 0)
        for (const { message } of faults) {
          const cycle = message.split(': ')[1]!.split(' → ')
          expect(cycle.length).toBeGreaterThan(2)
          expect(cycle[0]).toBe(cycle.at(-1))
          for (const [at, id] of cycle.slice(0, -1).entries())
            expect(stages.find((candidate) => candidate.id === id)!.needs).toContain(cycle[at + 1])
        }
        // One for each group of stages that reach each other.
        const groups = new Set(
          inCycles.map(({ id }) => {
            const down = reachable(stages, id)
            return inCycles
              .filter((other) => down.has(other.id) && reachable(stages, other.id).has(id))
              .map((s) => s.id)
              .join()
          }),
        )
        expect(faults).toHaveLength(groups.size)
      }),
    )
  })
})
