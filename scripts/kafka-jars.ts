// Brings the jars of the Kafka broker that tests start. Without them those tests are skipped, and say so.
import { provideJars } from '../test/support/kafka/jars.ts'

const why = provideJars()
if (why !== undefined) console.error(why)
process.exitCode = why === undefined ? 0 : 1
