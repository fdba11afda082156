import { text } from 'node:stream/consumers'
import { createTallyServer } from './server.js'
import { tally } from './tally.js'

const [option, port] = process.argv.slice(2)
if (option === '--serve') createTallyServer().listen(Number(port ?? 8090), '127.0.0.1')
else for (const { word, count } of tally(await text(process.stdin))) console.log(`${count}\t${word}`)
