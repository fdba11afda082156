import { expect, it } from 'vitest'
import type { SubWorkflows } from '../../src/commands/sub-workflows.ts'
import { executionDecider } from '../../src/domain/execution/decide.ts'
import { executionStream } from '../../src/domain/execution/events.ts'
import type { RecordedEvent } from '../../src/domain/message.ts'
import { createSubWorkflowReactor } from '../../src/reactors/sub-workflows.ts'
import { AT, start, workflow } from '../support/executions.ts'
import { calling } from '../support/sub-workflows.ts'

/** The events of a run that has just begun, as the log would have them. */
function recorded(): RecordedEvent[] {
  const command = start(workflow([calling('call')]))
  const metadata = { namespace: 'default', correlationId: 'c', commandId: 'c', actor: 'user:ada' }
  return executionDecider.decide(command, executionDecider.initialState).map((event, revision) => ({
    ...{ id: `e${revision}`, version: 1, at: AT, stream: executionStream(command.executionId), revision },
    ...{ position: revision, metadata, ...event },
  }))
}

function following() {
  const done: string[] = []
  let fault: Error | undefined
  const doing = (what: string) => async () => {
    done.push(what)
    if (fault) throw fault
  }
  const commands: SubWorkflows = {
    start: doing('start'),
    finish: doing('finish'),
    abandon: doing('abandon'),
    cancel: doing('cancel'),
  }
  const reactor = createSubWorkflowReactor(commands)
  for (const event of recorded()) reactor.apply(event)
  return {
    reactor,
    done,
    failWith(error: Error | undefined) {
      fault = error
    },
  }
}

it('does nothing before it has read the whole log, and then each thing once', async () => {
  const { reactor, done } = following()
  await reactor.act(false)
  expect(done).toEqual([])
  await reactor.act(true)
  await reactor.act(true)
  expect(done).toEqual(['start'])
})

it('does again what failed', async () => {
  const { reactor, done, failWith } = following()
  failWith(new Error('the store is away'))
  await expect(reactor.act(true)).rejects.toThrow('the store is away')
  failWith(undefined)
  await reactor.act(true)
  await reactor.act(true)
  expect(done).toEqual(['start', 'start'])
})
