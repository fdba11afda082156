// The one process that owns a cluster: starting it, seeing that it is ready, stopping it, and finding one that a killed parent left.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { open, readFile, readlink, realpath, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { setPriority } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { launch } from './postgres-account.ts'
import { type Cluster, environment } from './postgres-cluster.ts'

const READY_MS = 60_000
const FAST_STOP_MS = 20_000

/** A projection store: what it holds follows from the log, and few connections write it in large batches. */
const SETTINGS = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  max_connections: '50',
  shared_buffers: '128MB',
  work_mem: '16MB',
  maintenance_work_mem: '64MB',
  // Autovacuum gives way after that to who exchanges tables.
  deadlock_timeout: '200ms',
  wal_level: 'minimal',
  max_wal_senders: '0',
  wal_buffers: '16MB',
  max_wal_size: '2GB',
  checkpoint_timeout: '15min',
  io_method: 'sync',
  jit: 'off',
  max_parallel_workers_per_gather: '0',
  idle_in_transaction_session_timeout: '60s',
  log_checkpoints: 'off',
  log_min_messages: 'warning',
}

/** What `postmaster.pid` says. `ready` is true once connections are accepted. */
export type PidFile = { readonly pid: number; readonly port: number; readonly ready: boolean }

export async function readPidFile(folder: string): Promise<PidFile | undefined> {
  const lines = (await readFile(join(folder, 'postmaster.pid'), 'utf8').catch(() => '')).split('\n')
  const pid = Number(lines[0])
  if (!Number.isInteger(pid) || pid <= 0) return undefined
  return { pid, port: Number(lines[3]), ready: lines[7]?.trim() === 'ready' }
}

/** Starts PostgreSQL on `port` and resolves when it accepts connections. */
export async function startPostmaster(cluster: Cluster, port: number): Promise<ChildProcess> {
  const log = await open(cluster.logFile, 'w', 0o600)
  const settings = Object.entries(SETTINGS).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  const flags = ['-D', cluster.folder, '-p', String(port), ...settings]
  const [command, args, identity] = launch(cluster.account, cluster.postgres, flags)
  const child = spawn(command, args, {
    ...identity,
    env: environment(cluster.postgres),
    stdio: ['ignore', log.fd, log.fd],
    // A group of its own, so that Ctrl-C in a terminal reaches Millrace alone and the stop keeps its order.
    detached: true,
  })
  const ended = once(child, 'exit').catch((error: unknown) => error)
  await log.close()
  yieldCpu(child.pid)
  for (const deadline = Date.now() + READY_MS; ; ) {
    const file = await readPidFile(cluster.folder)
    if (file?.pid === child.pid && file?.ready) return child
    const over = await Promise.race([ended.then(() => true), delay(5, false)])
    if (over || Date.now() > deadline) {
      child.kill('SIGKILL')
      throw new Error(`PostgreSQL did not start: ${await lastWords(cluster.logFile)}`)
    }
  }
}

/** Orchestration goes before reading when both want the processor; what PostgreSQL forks from here on inherits this. */
function yieldCpu(pid: number | undefined): void {
  if (pid === undefined) return
  try {
    setPriority(pid, 10)
  } catch {
    // It ended already; the caller sees that and says why.
  }
}

async function lastWords(logFile: string): Promise<string> {
  const lines = (await readFile(logFile, 'utf8').catch(() => '')).trim().split('\n')
  return lines.slice(-6).join(' | ') || `it said nothing in ${logFile}`
}

/** Ends open transactions and waits; what does not end in time is stopped hard, which costs a recovery at the next start. */
export async function stopPostmaster(pid: number): Promise<void> {
  if (!signal(pid, 'SIGINT') || (await gone(pid, FAST_STOP_MS))) return
  if (!signal(pid, 'SIGQUIT') || (await gone(pid, FAST_STOP_MS))) return
  throw new Error(`PostgreSQL (process ${pid}) does not end`)
}

/** Stops what a killed parent left running on this cluster. Answers its process id, or undefined where there was none. */
export async function stopLeftover(folder: string): Promise<number | undefined> {
  const file = await readPidFile(folder)
  if (!file) return undefined
  if (!(await ownsCluster(file.pid, folder))) {
    // The machine went down, and the number may be another program's by now; PostgreSQL itself would refuse to start.
    await rm(join(folder, 'postmaster.pid'), { force: true })
    return undefined
  }
  await stopPostmaster(file.pid)
  return file.pid
}

/** A process id may have been given to another program since; PostgreSQL always works inside its cluster. */
async function ownsCluster(pid: number, folder: string): Promise<boolean> {
  if (!signal(pid, 0)) return false
  if (process.platform !== 'linux') return true
  return (await readlink(`/proc/${pid}/cwd`).catch(() => '')) === (await realpath(folder))
}

function signal(pid: number, name: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
    throw error
  }
}

async function gone(pid: number, withinMs: number): Promise<boolean> {
  for (const deadline = Date.now() + withinMs; Date.now() < deadline; await delay(10)) if (!signal(pid, 0)) return true
  return false
}

/** A TCP port of the loopback interface that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}
