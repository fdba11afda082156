/** What a stage may name in `uses`, and so what a handler may be called. */
export const handlerNamePattern = /^[a-z][a-z0-9-]{0,62}$/
export const handlerNameRule =
  'a handler is named in at most 63 lower-case letters, digits and hyphens, such as migrate-tables'

/** The handlers that come with Millrace. */
export const builtinHandlers = ['shell', 'http', 'wait'] as const
export type BuiltinHandler = (typeof builtinHandlers)[number]

/** Names that the syntax knows and nothing runs yet. */
export const plannedHandlers = ['approval', 'gate', 'notify', 'pipeline', 'workflow', 'signal'] as const

/** Names that mean the same in every workflow, and so are nobody's own. */
export const reservedHandlerNames: readonly string[] = [...builtinHandlers, ...plannedHandlers]

export const isBuiltin = (name: unknown): name is BuiltinHandler => builtinHandlers.some((builtin) => builtin === name)
