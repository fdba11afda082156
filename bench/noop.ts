import { z } from 'zod'
import { defineHandler } from '../src/sdk/index.ts'

/** Does nothing, so that what is measured is everything around it. */
export default defineHandler({ name: 'noop', input: z.object({}), run: async () => null })
