import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { EmbeddedEventStore } from '../../src/adapters/event-store/embedded.ts'
import { eventStoreContract } from '../contracts/event-store.ts'

eventStoreContract('embedded', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-log-'))
  const store = await EmbeddedEventStore.open(folder)
  return {
    store,
    async close() {
      await store.close()
      await rm(folder, { recursive: true })
    },
  }
})
