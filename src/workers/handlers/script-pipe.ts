// Reads what a script writes, through a named pipe.
import { closeSync, constants, openSync } from 'node:fs'
import { Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { LineCutter } from './line-cutter.ts'

/** How long a pipe may stay open once every process that we know of is gone. */
const DRAIN_DEADLINE_MS = 5_000

export class ScriptPipe {
  /** The descriptor that the script gets. */
  readonly writeEnd: number
  readonly #socket: Socket
  readonly #ended: Promise<void>
  #writeEndOpen = true

  constructor(path: string, onLine: (line: string) => void) {
    // The reader first and without blocking: the writer's open waits for one.
    const readEnd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
    try {
      this.writeEnd = openSync(path, constants.O_WRONLY)
    } catch (error) {
      closeSync(readEnd)
      throw error
    }
    const cutter = new LineCutter(onLine)
    this.#socket = new Socket({ fd: readEnd, readable: true, writable: false })
    this.#ended = new Promise((resolve) => {
      this.#socket.once('close', () => {
        cutter.end()
        resolve()
      })
    })
    this.#socket.on('data', (bytes) => cutter.push(bytes as Buffer))
    // Its close follows, and with it the end of the lines.
    this.#socket.on('error', () => {})
  }

  /** To be called once the script has its copy: the pipe ends when its last writer does. */
  closeWriteEnd(): void {
    if (this.#writeEndOpen) closeSync(this.writeEnd)
    this.#writeEndOpen = false
  }

  /** Resolves when every line was given out; after 5 seconds it no longer waits for writers that nobody found. */
  async drain(): Promise<void> {
    this.closeWriteEnd()
    const timer = new AbortController()
    const late = delay(DRAIN_DEADLINE_MS, true, { signal: timer.signal }).catch(() => false)
    if (await Promise.race([this.#ended.then(() => false), late])) this.#socket.destroy()
    timer.abort()
    await this.#ended
  }
}
