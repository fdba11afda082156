import type { GraphStage } from './graph.ts'

/**
 * One shortest cycle of every strongly connected component, as the ids along `needs`, starting with the stage that comes
 * first in the document. Needs that are unknown or name their own stage are left to whoever reports those.
 * Components: Tarjan, "Depth-first search and linear graph algorithms", 1972; linear in stages and needs.
 */
export function findCycles(stages: readonly GraphStage[]): readonly (readonly string[])[] {
  const indexes = new Map(stages.map(({ id }, index) => [id, index]))
  const needs = stages.map(({ needs }, index) =>
    needs.map((need) => indexes.get(need) ?? index).filter((need) => need !== index),
  )
  return findComponents(needs).map((component) => shortestCycle(component, needs).map((index) => stages[index]!.id))
}

/** The components of two or more nodes; each is sorted, and they come in the order of their first nodes. */
function findComponents(edges: readonly (readonly number[])[]): readonly (readonly number[])[] {
  const number = new Array<number>(edges.length).fill(-1)
  const low = new Array<number>(edges.length).fill(0)
  const open = new Array<boolean>(edges.length).fill(false)
  const stack: number[] = []
  const components: number[][] = []
  let counter = 0

  // Recursion is as deep as the longest chain, which the limit of 1,000 stages bounds.
  const visit = (node: number): void => {
    number[node] = low[node] = counter++
    stack.push(node)
    open[node] = true
    for (const next of edges[node]!) {
      if (number[next] === -1) visit(next)
      if (open[next]) low[node] = Math.min(low[node]!, low[next]!)
    }
    if (low[node] !== number[node]) return
    const component = stack.splice(stack.lastIndexOf(node))
    for (const member of component) open[member] = false
    if (component.length > 1) components.push(component.sort((a, b) => a - b))
  }

  for (let node = 0; node < edges.length; node++) if (number[node] === -1) visit(node)
  return components.sort((a, b) => a[0]! - b[0]!)
}

/** Breadth first from the component's first node until an edge leads back to it. */
function shortestCycle(component: readonly number[], edges: readonly (readonly number[])[]): readonly number[] {
  const start = component[0]!
  const inside = new Set(component)
  const cameFrom = new Map<number, number>()
  const queue = [start]
  for (const node of queue)
    for (const next of edges[node]!) {
      if (next === start) return pathTo(node, start, cameFrom)
      if (!inside.has(next) || cameFrom.has(next)) continue
      cameFrom.set(next, node)
      queue.push(next)
    }
  throw new Error('a strongly connected component has a cycle through each of its nodes')
}

function pathTo(node: number, start: number, cameFrom: ReadonlyMap<number, number>): readonly number[] {
  const path = [node]
  while (path.at(-1) !== start) path.push(cameFrom.get(path.at(-1)!)!)
  return path.reverse()
}
