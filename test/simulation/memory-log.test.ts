import { eventStoreContract } from '../contracts/event-store.ts'
import { MemoryLog } from './memory-log.ts'

eventStoreContract('the log of a simulated world', async () => {
  const store = new MemoryLog()
  return { store, close: () => store.close() }
})
