// A handler of one's own: start Millrace with `--handlers examples/handlers/check-links.ts` and say `uses: check-links`.
import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { defineHandler, StageFailure } from 'millrace'
import { z } from 'zod'

const link = /\[[^\]]*\]\(([^)#\s]+)[^)]*\)/g

export default defineHandler({
  name: 'check-links',
  input: z.strictObject({
    /** A Markdown file whose links to other files are checked. */
    file: z.string().min(1),
  }),
  async run({ input, signal, log }) {
    const text = await readFile(input.file, { encoding: 'utf8', signal })
    const targets = [...text.matchAll(link)].map((match) => match[1] ?? '').filter((target) => !/^\w+:/.test(target))
    const broken: string[] = []
    for (const target of targets) {
      signal.throwIfAborted()
      const found = await readFile(join(dirname(input.file), target)).then(
        () => true,
        () => false,
      )
      log(`${found ? 'ok' : 'BROKEN'} ${target}`)
      if (!found) broken.push(target)
    }
    if (broken.length > 0)
      throw new StageFailure({
        code: 'LINKS_BROKEN',
        message: `${input.file} has links that lead nowhere: ${broken.join(', ')}`,
        // The file won't mend itself, so another attempt would be a waste.
        retryable: false,
        details: { broken },
      })
    return { checked: targets.length }
  },
})
