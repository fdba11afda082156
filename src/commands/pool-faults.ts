import { shortOf } from '../domain/pool/amounts.ts'
import { poolDecider } from '../domain/pool/decide.ts'
import { poolStream } from '../domain/pool/events.ts'
import type { Fault } from '../domain/rejected.ts'
import type { CompiledWorkflow } from '../domain/workflow/definition.ts'
import type { Handle } from './handle.ts'

/** The stages that ask a pool for what it can never give: there is none of that name, or all of it is too little. */
export async function poolFaults(
  handle: Handle,
  namespace: string,
  { stages }: CompiledWorkflow,
): Promise<readonly Fault[]> {
  const asking = stages.flatMap(({ id, resources }) => (resources ? [{ id, ...resources }] : []))
  const names = [...new Set(asking.map(({ pool }) => pool))]
  const loaded = await Promise.all(names.map((name) => handle.load(poolDecider, poolStream(namespace, name))))
  const pools = new Map(names.map((name, at) => [name, loaded[at]!.state]))
  return asking.flatMap(({ id, pool: name, amounts }): readonly Fault[] => {
    const pool = pools.get(name)!
    const at = `/stages/${id}/resources`
    if (pool.status === 'undefined') {
      const advice = `define it with PUT /v1/${namespace}/pools/${name}`
      return [{ pointer: `${at}/pool`, message: `there is no pool ${JSON.stringify(name)} here; ${advice}` }]
    }
    const message = `all of the pool ${name} is less than this asks for`
    return shortOf(amounts, pool.capacity).map((resource) => ({ pointer: `${at}/${resource}`, message }))
  })
}
