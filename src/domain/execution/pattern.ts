import { RE2JS, RE2JSException } from 're2js'

/**
 * Regular expressions over the messages of errors: RE2's syntax, matched in time linear in the text, whatever the pattern.
 * `^` and `$` also stand for the ends of lines, since a message has many. There are no Unicode classes: folding and merging
 * them is what makes a short pattern slow to compile.
 */
const FLAGS = RE2JS.MULTILINE | RE2JS.DISABLE_UNICODE_GROUPS

export const MAX_PATTERN_LENGTH = 512
/** Of one pattern, and of those of one workflow together: some 0.4 s for the worst that can be written, 1 ms for most. */
export const MAX_PATTERN_COST = 3_000
/** An error of the log is no longer; one that comes from elsewhere is cut. */
const MAX_TEXT_LENGTH = 4_096
/** Together some 25 MB. */
const MAX_CACHED_COST = 100_000
const MAX_CACHED = 2_000

/**
 * `cost` is the instructions of the program, which bound the time of a match, or the characters of the pattern where those
 * are more, which bound the time to compile it.
 */
type Compiled = { readonly cost: number; readonly pattern?: RE2JS; readonly fault?: string }

let cachedCost = 0
const cache = new Map<string, Compiled>()

/** True where the pattern is found anywhere in the text; a pattern with a fault is found nowhere. */
export function matchesPattern(source: string, text: string): boolean {
  // Not `test`, whose automaton keeps up to 8 MB for each pattern; what `find` keeps is as large as the program.
  return inspectPattern(source).pattern?.matcher(text.slice(0, MAX_TEXT_LENGTH)).find() ?? false
}

/** What is wrong with a pattern, if anything, and what it costs. */
export function inspectPattern(source: string): Compiled {
  if (source.length > MAX_PATTERN_LENGTH) {
    const fault = `a pattern has at most ${MAX_PATTERN_LENGTH} characters; this one has ${source.length}`
    return { cost: source.length, fault }
  }
  const known = cache.get(source)
  if (known) return known
  const compiled = compile(source)
  cache.set(source, compiled)
  cachedCost += compiled.cost
  for (const [oldest, { cost }] of cache) {
    if (cachedCost <= MAX_CACHED_COST && cache.size <= MAX_CACHED) break
    cache.delete(oldest)
    cachedCost -= cost
  }
  return compiled
}

function compile(source: string): Compiled {
  try {
    const pattern = RE2JS.compile(source, FLAGS)
    const cost = Math.max(source.length, pattern.programSize())
    if (cost <= MAX_PATTERN_COST) return { pattern, cost }
    return { cost, fault: `the pattern takes ${cost} steps for each character, the limit is ${MAX_PATTERN_COST}` }
  } catch (error) {
    if (!(error instanceof RE2JSException)) throw error
    return { cost: source.length, fault: `not a pattern: ${error.message.replace('error parsing regexp: ', '')}` }
  }
}
