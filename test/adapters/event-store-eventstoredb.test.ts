// The contract of the event store, on the test server; with EVENTSTOREDB_URL on a real server, in a database of its own that
// nobody else writes to meanwhile.
import { EventStoreDb } from '../../src/adapters/event-store/eventstoredb.ts'
import { eventStoreContract } from '../contracts/event-store.ts'
import { EventStoreDbServer } from '../support/eventstoredb/server.ts'

const realServer = process.env.EVENTSTOREDB_URL

if (realServer !== undefined)
  eventStoreContract('EventStoreDB, a real server', async () => {
    const store = new EventStoreDb(realServer)
    return { store, before: await store.head(), close: () => store.close() }
  })

for (const saysCaughtUp of [true, false])
  eventStoreContract(
    `EventStoreDB, the test server${saysCaughtUp ? '' : ', which does not say that a subscription has caught up'}`,
    async () => {
      const server = await EventStoreDbServer.start({ saysCaughtUp })
      const store = new EventStoreDb(server.url)
      return {
        store,
        async close() {
          await store.close()
          await server.close()
        },
      }
    },
  )
