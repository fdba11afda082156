import type { Logger } from '../../src/ports/logger.ts'

const say = (details: object, message: string): void => {
  if (process.env.KAFKA_SAYS !== undefined) console.error(message, details)
}

/** What kafkajs warns of is what tests of it are about; KAFKA_SAYS has it shown. */
export const quiet: Logger = { info: say, warn: say, error: say }
