import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, before, test } from 'node:test'
import { createTallyServer } from '../src/server.js'

const server = createTallyServer()
let origin
before(async () => {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  origin = `http://127.0.0.1:${server.address().port}`
})
after(() => {
  server.close()
  server.closeAllConnections()
})

test('says that it is there', async () => {
  assert.deepEqual(await (await fetch(`${origin}/health`)).json(), { status: 'ok' })
})

test('counts what it is sent', async () => {
  const response = await fetch(`${origin}/tally`, { method: 'POST', body: 'a b a' })
  assert.deepEqual(await response.json(), {
    words: [
      { word: 'a', count: 2 },
      { word: 'b', count: 1 },
    ],
  })
})

test('refuses what it does not know and what is too much', async () => {
  assert.equal((await fetch(`${origin}/nothing`)).status, 404)
  assert.equal((await fetch(`${origin}/tally`, { method: 'POST', body: 'x'.repeat(70_000) })).status, 413)
})
