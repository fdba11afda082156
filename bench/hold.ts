import { z } from 'zod'
import { defineHandler } from '../src/sdk/index.ts'

/** Runs until it is stopped. */
export default defineHandler({
  name: 'hold',
  input: z.object({}),
  run: ({ signal }) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('stopped')))),
})
