import type { Json } from '../src/domain/message.ts'

type Flow = { readonly stages: number; readonly document: Json }

const noop = (...needs: string[]): Json => ({ uses: 'noop', needs })
const names = ['one', 'two', 'three', 'four', 'five']
const branches = Array.from({ length: 20 }, (_, n) => `branch-${n + 1}`)

/** What is run: documents as a user would register them. */
export const flows: Readonly<Record<string, Flow>> = {
  'five-stages': {
    stages: 5,
    document: {
      name: 'five-stages',
      stages: Object.fromEntries(names.map((name, n) => [name, n === 0 ? noop() : noop(names[n - 1]!)])),
    },
  },
  'fan-out': {
    stages: 22,
    document: {
      name: 'fan-out',
      stages: {
        first: noop(),
        ...Object.fromEntries(branches.map((name) => [name, noop('first')])),
        last: noop(...branches),
      },
    },
  },
}
