import { createServer } from 'node:http'
import { tally } from './tally.js'

const BODY_LIMIT_BYTES = 64 * 1024

/** `POST /tally` counts the words of the body; `GET /health` says that it is there. */
export const createTallyServer = () =>
  createServer(async (request, response) => {
    const answer = (status, body) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(body)}\n`)
    if (request.method === 'GET' && request.url === '/health') return answer(200, { status: 'ok' })
    if (request.method !== 'POST' || request.url !== '/tally')
      return answer(404, { error: 'there is only POST /tally' })
    const pieces = []
    let size = 0
    for await (const piece of request) {
      size += piece.length
      if (size > BODY_LIMIT_BYTES) return answer(413, { error: `at most ${BODY_LIMIT_BYTES} bytes` })
      pieces.push(piece)
    }
    return answer(200, { words: tally(Buffer.concat(pieces).toString('utf8')) })
  })
