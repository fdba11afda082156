// Graphs for the tests, hand-made and at random, and an oracle.
import fc from 'fast-check'
import type { GraphStage } from '../../src/domain/execution/graph.ts'
import { validateGraph } from '../../src/domain/execution/graph.ts'

export const stage = (id: string, ...needs: string[]): GraphStage => ({ id, needs })
export const diamond = [stage('a'), stage('b', 'a'), stage('c', 'a'), stage('d', 'b', 'c')]
export const messages = (stages: readonly GraphStage[]) =>
  validateGraph(stages).map(({ pointer, message }) => `${pointer} ${message}`)

/** Acyclic: every stage needs only earlier ones; then they are shuffled, so that the document's order is no help. */
export const acyclic = fc
  .array(fc.array(fc.nat(), { maxLength: 4 }), { minLength: 1, maxLength: 12 })
  .map((rows) =>
    rows.map((picks, index) =>
      stage(`s${index}`, ...new Set(index === 0 ? [] : picks.map((pick) => `s${pick % index}`))),
    ),
  )
  .chain((stages) => fc.shuffledSubarray(stages, { minLength: stages.length }))
/** Any edges at all, self-needs and unknown stages left out. */
export const anyGraph = fc
  .array(fc.array(fc.nat(7), { maxLength: 3 }), { minLength: 1, maxLength: 8 })
  .map((rows) =>
    rows.map((picks, index) =>
      stage(
        `s${index}`,
        ...new Set(picks.filter((pick) => pick !== index && pick < rows.length).map((pick) => `s${pick}`)),
      ),
    ),
  )

/** The oracle: everything that a stage waits for, by asking again and again. */
export function reachable(stages: readonly GraphStage[], from: string): Set<string> {
  const found = new Set<string>()
  const visit = (id: string): void => {
    for (const need of stages.find((candidate) => candidate.id === id)!.needs)
      if (!found.has(need)) {
        found.add(need)
        visit(need)
      }
  }
  visit(from)
  return found
}
