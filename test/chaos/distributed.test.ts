// The whole distributed profile: every role a process of its own, on real servers.
import { setTimeout as delay } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { type Distributed, distributedObstacle, processes, startDistributed } from '../support/distributed.ts'
import { skipFor } from '../support/skip.ts'

const why = await distributedObstacle()
const RUNS = 20
const steps = ['build', 'test', 'scan', 'deploy', 'verify']
const document = {
  name: 'release',
  stages: Object.fromEntries(
    steps.map((step, at) => [
      step,
      {
        uses: 'shell',
        with: { run: 'sleep 0.05' },
        retry: { maxAttempts: 3 },
        ...(at > 0 ? { needs: [steps[at - 1]] } : {}),
      },
    ]),
  ),
}

async function call<T>(url: string, method: string, body?: object): Promise<T> {
  const sent = body && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }
  const response = await fetch(url, { method, ...sent, signal: AbortSignal.timeout(15_000) })
  const text = await response.text()
  if (!response.ok) throw new Error(`${method} ${url} answered ${response.status}: ${text}`)
  return JSON.parse(text) as T
}

async function untilCompleted(profile: Distributed, ids: readonly string[]): Promise<void> {
  const url = await profile.url()
  const open = new Set(ids)
  for (const deadline = Date.now() + 60_000; open.size > 0; await delay(200)) {
    for (const id of open) {
      const run = await call<{ status: string }>(`${url}/v1/default/executions/${id}/state`, 'GET')
      if (run.status === 'completed') open.delete(id)
      else if (run.status !== 'running') throw new Error(`${id} is ${run.status}`)
    }
    if (Date.now() > deadline) throw new Error(`these have not ended: ${[...open].join(', ')}\n${profile.said()}`)
  }
}

if (why !== undefined) it('runs on servers of its own', (context) => skipFor(why, context))
else
  it('every role is a process of its own, and workers have the queue and the leases only', {
    timeout: 180_000,
  }, async (t) => {
    const profile = await startDistributed(t)
    t.onTestFailed(() => console.error(profile.said()))
    const url = await profile.url()
    await call(`${url}/v1/default/workflows/release`, 'PUT', document)
    const ids: string[] = []
    for (let n = 0; n < RUNS; n++)
      ids.push((await call<{ id: string }>(`${url}/v1/default/executions`, 'POST', { workflow: 'release' })).id)
    await untilCompleted(profile, ids)
    const workers = await call<{ items: { status: string }[] }>(`${url}/v1/default/workers`, 'GET')
    expect(workers.items.map(({ status }) => status)).toEqual(['running', 'running'])
    for (const name of processes.toReversed())
      expect(await profile.end(name, 'SIGTERM'), `${name}\n${profile.said()}`).toEqual({ code: 0, signal: null })
  })
