import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { Json } from '../../src/domain/message.ts'
import { shellStage, shellStages } from '../support/shell-stage.ts'
import { stageFailure } from '../support/stage-failure.ts'

const saving = () => {
  const saved: Json[] = []
  const checkpoint = async (state: Json) => {
    saved.push(state)
  }
  return { saved, checkpoint }
}

describe('what a script has saved', () => {
  it('is in the file MILLRACE_RESUME, where an earlier attempt saved something', async () => {
    const { run } = shellStage('cp "$MILLRACE_RESUME" "$MILLRACE_OUTPUT"', { resume: { done: 3 } })
    expect(await run()).toEqual({ done: 3 })
  })

  it('is not there in a first attempt', async () => {
    const { run } = shellStage('echo "\\"${MILLRACE_RESUME-none}\\"" > "$MILLRACE_OUTPUT"')
    expect(await run()).toBe('none')
  })
})

describe('what a script writes to MILLRACE_CHECKPOINT', () => {
  it('is saved while it runs, each state once', async () => {
    const { prepare } = shellStages()
    const saved: Json[] = []
    const stage = prepare(
      `save() { echo "{\\"done\\":$1}" > "$MILLRACE_CHECKPOINT.new"; mv "$MILLRACE_CHECKPOINT.new" "$MILLRACE_CHECKPOINT"; }
       save 1; until [ -e saved-1 ]; do sleep 0.02; done
       save 2; until [ -e saved-2 ]; do sleep 0.02; done`,
      {
        checkpoint: async (state) => {
          saved.push(state)
          writeFileSync(join(stage.workspace, `saved-${(state as { done: number }).done}`), '')
        },
      },
    )
    await stage.run()
    expect(saved).toEqual([{ done: 1 }, { done: 2 }])
  })

  it('last is saved before a failure is known', async () => {
    const { saved, checkpoint } = saving()
    const { run } = shellStage(`echo '{"done":7}' > "$MILLRACE_CHECKPOINT"; exit 3`, { checkpoint })
    expect(await stageFailure(run())).toMatchObject({ code: 'EXIT_NONZERO', exitCode: 3 })
    expect(saved).toEqual([{ done: 7 }])
  })

  it.each([
    [`echo '{"half":' > "$MILLRACE_CHECKPOINT"`, /is not usable JSON/],
    ['head -c 262145 /dev/zero > "$MILLRACE_CHECKPOINT"', /is larger than 262144 bytes/],
    ['ln -s /etc/hostname "$MILLRACE_CHECKPOINT"', /is not a plain file/],
  ])('and cannot be saved is said in the log: %s', async (script, says) => {
    const { saved, checkpoint } = saving()
    const { run, lines } = shellStage(script, { checkpoint })
    expect(await run()).toBeNull()
    expect(saved).toEqual([])
    expect(lines).toEqual([{ stream: 'log', text: expect.stringMatching(says) }])
  })
})
