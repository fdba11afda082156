// Loaded before everything else in every thread of a program (NODE_OPTIONS=--import …): the thread that CRASH_THREAD
// names throws, caught by nobody, once the file CRASH_WHEN is there.
import { existsSync } from 'node:fs'
import { isMainThread, workerData } from 'node:worker_threads'

const { CRASH_THREAD: wanted, CRASH_WHEN: file = '' } = process.env
const given = workerData as { watch?: boolean; databaseUrl?: string } | null

function nameOf({ watch, databaseUrl }: NonNullable<typeof given>): string {
  if (databaseUrl !== undefined) return 'projector'
  return `${process.env.CRASH_WITHIN ?? ''}${watch ? 'reader' : 'writer'}`
}

if (!isMainThread && given) {
  const name = nameOf(given)
  // The projector's own threads take the environment over from it.
  if (name === 'projector') process.env.CRASH_WITHIN = "projector's "
  if (name === wanted)
    setInterval(() => {
      if (existsSync(file)) throw new Error('made to crash')
    }, 20).unref()
}
