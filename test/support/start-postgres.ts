// A process that starts the embedded PostgreSQL of the directory it is given, says so, and waits to be killed.
import { startEmbeddedPostgres } from '../../src/adapters/read-models/embedded-postgres.ts'

const { url } = await startEmbeddedPostgres(process.argv[2]!)
console.log(url)
