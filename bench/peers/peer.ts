/** One system under measurement: its server runs, its worker listens. */
export interface Peer {
  /** What survives a crash of the machine, in its own terms. */
  readonly durable: string
  /** Starts one run of five stages; resolves when the caller knows that all of it has completed. */
  run(): Promise<void>
}

/** Starts server and worker; whatever must be undone again goes onto the stack as soon as it exists. */
export type StartPeer = (stack: AsyncDisposableStack, concurrency: number) => Promise<Peer>

export const STAGES = 5

/** Every stage gives back its number, so the last value proves that all five ran. */
export function assertComplete(value: unknown): void {
  if (value !== STAGES) throw new Error(`the run ended with ${JSON.stringify(value)}, not with ${STAGES}`)
}
