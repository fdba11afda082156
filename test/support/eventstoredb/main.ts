// The test server as a process: node test/support/eventstoredb/main.ts --port N --data DIR
import { parseArgs } from 'node:util'
import { EventStoreDbServer } from './server.ts'

const { values } = parseArgs({ options: { port: { type: 'string', default: '0' }, data: { type: 'string' } } })
const server = await EventStoreDbServer.start({
  port: Number(values.port),
  ...(values.data === undefined ? {} : { folder: values.data }),
})
console.log(`listens on ${server.url}`)
process.once('SIGTERM', () => void server.close())
