/** What a stage may name in `uses`, and so what a handler may be called. */
export const handlerNamePattern = /^[a-z][a-z0-9-]{0,62}$/
export const handlerNameRule =
  'a handler is named in at most 63 lower-case letters, digits and hyphens, such as migrate-tables'

/** The handlers that come with Millrace. */
export const builtinHandlers = ['shell', 'http', 'wait', 'approval', 'signal', 'workflow'] as const
export type BuiltinHandler = (typeof builtinHandlers)[number]

/** Names that the syntax knows and nothing runs yet. */
export const plannedHandlers = ['gate', 'notify', 'pipeline'] as const

/** Names that mean the same in every workflow, and so are nobody's own. */
export const reservedHandlerNames: readonly string[] = [...builtinHandlers, ...plannedHandlers]

export const isBuiltin = (name: unknown): name is BuiltinHandler => builtinHandlers.some((builtin) => builtin === name)

/** A name in a path and in expressions: of a workflow, of a stage. */
export const workflowNamePattern = /^[a-z][a-z0-9_-]{0,62}$/

/** The name in `POST …/signals/{name}`. */
export const signalNamePattern = /^[a-zA-Z][a-zA-Z0-9._-]{0,62}$/
export const signalNameRule = 'a signal is named in at most 63 letters, digits, dots, hyphens and underscores'
