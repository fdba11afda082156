// Ends processes for certain: a whole group, and by the marks in their environment those that left it.
import { readFileSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { setTimeout as delay, setImmediate as immediate } from 'node:timers/promises'

/** How long the kernel gets to remove what was killed; only a process in uninterruptible I/O takes longer. */
const KILL_DEADLINE_MS = 5_000

/** Files of /proc that a scan reads in one go: they come from memory, so a thread for each would cost more than the read. */
const SCAN_WIDTH = 16

/** Asks the group to end and gives it `graceMs` for that; the answer says whether it did. */
export async function endGroup(group: number, graceMs: number): Promise<boolean> {
  signalTo(-group, 'SIGTERM')
  // A stopped process acts on nothing but SIGKILL until it is continued.
  signalTo(-group, 'SIGCONT')
  return eventually(() => groupIsGone(group), graceMs)
}

/** Kills what is left of the group; false when something can't be killed. */
export function killGroup(group: number): Promise<boolean> {
  return eventually(async () => {
    signalTo(-group, 'SIGKILL')
    return groupIsGone(group)
  }, KILL_DEADLINE_MS)
}

/**
 * Kills every process whose environment has all of `marks` (`NAME=value`), and what they start meanwhile. Answers how
 * many there were. Sees nothing on platforms without /proc.
 */
export async function killMarked(marks: readonly string[]): Promise<number> {
  // No mark at all is on every process of the machine.
  if (marks.length === 0) throw new RangeError('processes are killed by at least one mark')
  const found = new Set<number>()
  await eventually(async () => {
    const pids = await markedProcesses(marks)
    for (const pid of pids) {
      found.add(pid)
      signalTo(pid, 'SIGKILL')
    }
    return pids.length === 0
  }, KILL_DEADLINE_MS)
  return found.size
}

/**
 * After a crash the scripts of this instance live on as orphans. Kills them all and answers how many there were. Call
 * it before work is taken, and only as the sole owner of the data directory: it can't tell orphans from the scripts of
 * a second program with the same instance id.
 */
export async function reapLeftovers(instance: string): Promise<number> {
  if (instance === '') throw new RangeError('an instance has an id')
  return killMarked([`MILLRACE_INSTANCE=${instance}`])
}

/** False when there is nothing to signal; `0` only asks. */
function signalTo(target: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(target, signal)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH'
  }
}

/** Zombies count as gone: nothing of them runs, and whether their new parent ever reaps them is not ours to say. */
async function groupIsGone(group: number): Promise<boolean> {
  if (!signalTo(-group, 0)) return true
  const pids = await processIds()
  if (pids.length === 0) return false
  const living = await filterProcesses(pids, 'stat', (stat) => {
    // The name in parentheses may hold anything; after its last one follow state, parent and group.
    const [state, , member] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return Number(member) === group && state !== 'Z' && state !== 'X'
  })
  return living.length === 0
}

async function markedProcesses(marks: readonly string[]): Promise<readonly number[]> {
  // The program itself may have been started by one of its own scripts.
  const pids = (await processIds()).filter((pid) => pid !== process.pid && pid !== process.ppid)
  return filterProcesses(pids, 'environ', (environ) => {
    const variables = environ.split('\0')
    return marks.every((mark) => variables.includes(mark))
  })
}

async function processIds(): Promise<readonly number[]> {
  try {
    return (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number)
  } catch {
    return []
  }
}

async function filterProcesses(
  pids: readonly number[],
  file: 'stat' | 'environ',
  matches: (text: string) => boolean,
): Promise<readonly number[]> {
  const matching: number[] = []
  for (let start = 0; start < pids.length; start += SCAN_WIDTH) {
    matching.push(...pids.slice(start, start + SCAN_WIDTH).filter((pid) => matches(readProcess(pid, file))))
    await immediate()
  }
  return matching
}

/** Processes end while they are looked at, and those of other users are closed to us; neither is ours to kill. */
function readProcess(pid: number, file: 'stat' | 'environ'): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8')
  } catch {
    return ''
  }
}

async function eventually(holds: () => Promise<boolean>, timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs
  for (let pauseMs = 5; ; pauseMs = Math.min(pauseMs * 2, 200)) {
    if (await holds()) return true
    const leftMs = deadline - performance.now()
    if (leftMs <= 0) return false
    await delay(Math.min(pauseMs, leftMs))
  }
}
