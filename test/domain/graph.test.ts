import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createGraph, deserialiseGraph, validateGraph } from '../../src/domain/execution/graph.ts'
import { acyclic, diamond, reachable, stage } from '../support/graphs.ts'

describe('indexes', () => {
  const graph = createGraph(diamond)
  test('number the stages in the order of the document', () => {
    expect([graph.indexOf('a'), graph.indexOf('d'), graph.indexOf('z')]).toEqual([0, 3, -1])
    expect(graph.needsOf(3)).toEqual([1, 2])
    expect(graph.dependentsOf(0)).toEqual([1, 2])
    expect(graph.dependentsOf(3)).toEqual([])
  })
  test('say the same as names', () => {
    fc.assert(
      fc.property(acyclic, (stages) => {
        const graph = createGraph(stages)
        for (const { id, needs } of stages) {
          expect(graph.dependencies(id)).toEqual(needs)
          expect(graph.needsOf(graph.indexOf(id)).map((index) => graph.ids[index])).toEqual(needs)
          expect(new Set(graph.dependents(id))).toEqual(
            new Set(stages.filter((other) => other.needs.includes(id)).map((other) => other.id)),
          )
        }
      }),
    )
  })
  test('of what does not exist are a bug', () => {
    expect(() => createGraph([stage('a', 'z')])).toThrow('needs "z"')
    expect(() => graph.dependencies('z')).toThrow('no stage "z"')
    expect(() => createGraph([stage('a', 'b'), stage('b', 'a')]).topologicalOrder()).toThrow('cycle')
  })
})

describe('order', () => {
  test('keeps to the document among stages that are free at once', () => {
    expect(createGraph([stage('z'), stage('b', 'a'), stage('a'), stage('c', 'z', 'b')]).topologicalOrder()).toEqual([
      'z',
      'a',
      'b',
      'c',
    ])
  })
  test('has every stage once, after all that it needs', () => {
    fc.assert(
      fc.property(acyclic, (stages) => {
        const order = createGraph(stages).topologicalOrder()
        expect([...order].sort()).toEqual(stages.map(({ id }) => id).sort())
        for (const { id, needs } of stages)
          for (const need of needs) expect(order.indexOf(need)).toBeLessThan(order.indexOf(id))
      }),
    )
  })
  test('levels are the longest way from a root', () => {
    expect(createGraph(diamond).levels()).toEqual([['a'], ['b', 'c'], ['d']])
    fc.assert(
      fc.property(acyclic, (stages) => {
        const depth = (id: string): number => {
          const { needs } = stages.find((candidate) => candidate.id === id)!
          return needs.length === 0 ? 0 : 1 + Math.max(...needs.map(depth))
        }
        const levels = createGraph(stages).levels()
        expect(levels.flatMap((level, at) => level.map((id) => [id, at])).sort()).toEqual(
          stages.map(({ id }) => [id, depth(id)]).sort(),
        )
      }),
    )
  })
  test('an ancestor is whatever a stage waits for', () => {
    fc.assert(
      fc.property(acyclic, (stages) => {
        const graph = createGraph(stages)
        for (const { id } of stages)
          for (const other of stages) expect(graph.isAncestor(other.id, id)).toBe(reachable(stages, id).has(other.id))
      }),
    )
  })
})

describe('ready stages', () => {
  const graph = createGraph(diamond)
  test('wait for all that they need', () => {
    expect(graph.readyNodes(new Set())).toEqual(['a'])
    expect(graph.readyNodes(new Set(['a']))).toEqual(['b', 'c'])
    expect(graph.readyNodes(new Set(['a', 'c']))).toEqual(['b'])
    expect(graph.readyNodes(new Set(['a', 'b', 'c', 'd']))).toEqual([])
  })
  test('doing what is ready, whatever of it, ends with everything done', () => {
    fc.assert(
      fc.property(acyclic, fc.infiniteStream(fc.nat()), (stages, picks) => {
        const graph = createGraph(stages)
        const done = new Set<string>()
        for (const pick of picks) {
          const ready = graph.readyNodes(done)
          if (ready.length === 0) break
          done.add(ready[pick % ready.length]!)
        }
        expect(done.size).toBe(stages.length)
      }),
    )
  })
})

describe('the critical path', () => {
  test('is the chain that takes longest', () => {
    const durations = new Map([
      ['a', 10],
      ['b', 5],
      ['c', 20],
      ['d', 1],
    ])
    expect(createGraph(diamond).criticalPath(durations)).toEqual({ path: ['a', 'c', 'd'], totalMs: 31 })
  })
  test('takes nothing where nothing is known, and is empty without stages', () => {
    expect(createGraph(diamond).criticalPath(new Map()).totalMs).toBe(0)
    expect(createGraph([]).criticalPath(new Map())).toEqual({ path: [], totalMs: 0 })
  })
  test('is as long as the longest of all chains', () => {
    fc.assert(
      fc.property(acyclic, fc.array(fc.nat(100), { minLength: 12, maxLength: 12 }), (stages, numbers) => {
        const durations = new Map(stages.map(({ id }, index) => [id, numbers[index]!]))
        const endsAt = (id: string): number => {
          const { needs } = stages.find((candidate) => candidate.id === id)!
          return durations.get(id)! + Math.max(0, ...needs.map(endsAt))
        }
        const { path, totalMs } = createGraph(stages).criticalPath(durations)
        expect(totalMs).toBe(Math.max(...stages.map(({ id }) => endsAt(id))))
        expect(path.reduce((sum, id) => sum + durations.get(id)!, 0)).toBe(totalMs)
        for (const [at, id] of path.slice(1).entries())
          expect(stages.find((candidate) => candidate.id === id)!.needs).toContain(path[at])
      }),
    )
  })
})

describe('as a value', () => {
  test('a clone is equal and its own', () => {
    const graph = createGraph(diamond)
    expect(graph.clone()).not.toBe(graph)
    expect(graph.clone().toJSON()).toEqual(graph.toJSON())
  })
  test('it survives being written and read', () => {
    fc.assert(
      fc.property(acyclic, (stages) => {
        expect(deserialiseGraph(createGraph(stages).serialise()).stages()).toEqual(stages)
      }),
    )
  })
  test.each(['{"stages":[{"id":"a","needs":["b"]}]}', '{"stages":[{"id":"a"}]}', '{"stages":[],"more":1}', '['])(
    '%s is none',
    (text) => {
      expect(() => deserialiseGraph(text)).toThrow()
    },
  )
  test('its summary counts', () => {
    expect(createGraph(diamond).summary()).toEqual({
      stages: 4,
      edges: 4,
      depth: 3,
      width: 2,
      roots: ['a'],
      leaves: ['d'],
    })
    expect(createGraph([]).summary()).toEqual({ stages: 0, edges: 0, depth: 0, width: 0, roots: [], leaves: [] })
  })
})

describe('growth', () => {
  const shapes = {
    chain: (size: number) => Array.from({ length: size }, (_, i) => stage(`s${i}`, ...(i === 0 ? [] : [`s${i - 1}`]))),
    wide: (size: number) => Array.from({ length: size }, (_, i) => stage(`s${i}`, ...(i === 0 ? [] : ['s0']))),
    pairs: (size: number) => Array.from({ length: size }, (_, i) => stage(`s${i}`, `s${i ^ 1}`)),
    ring: (size: number) => Array.from({ length: size }, (_, i) => stage(`s${i}`, `s${(i + 1) % size}`)),
  }
  test.each(Object.entries(shapes))('twice the stages of a %s are read about twice as often', (_, shape) => {
    const readsFor = (size: number): number => {
      let reads = 0
      const read = <T>(value: T): T => {
        reads++
        return value
      }
      const watched = shape(size).map(({ id, needs }) => ({
        get id() {
          return read(id)
        },
        get needs() {
          return read(needs)
        },
      }))
      validateGraph(watched)
      return reads
    }
    expect(readsFor(1_000) / readsFor(500)).toBeLessThan(2.1)
  })
  test('1,000 stages that each need every earlier one work', () => {
    const ids = Array.from({ length: 1_000 }, (_, i) => `s${i}`)
    const dense = ids.map((id, index) => ({ id, needs: ids.slice(0, index) }))
    expect(validateGraph(dense)).toEqual([])
    const graph = createGraph(dense)
    expect(graph.summary()).toMatchObject({ edges: 499_500, depth: 1_000, width: 1 })
    expect(graph.isAncestor('s0', 's999')).toBe(true)
    expect(graph.isAncestor('s999', 's0')).toBe(false)
    expect(graph.criticalPath(new Map(ids.map((id) => [id, 1]))).totalMs).toBe(1_000)
  })
})
