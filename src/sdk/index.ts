// What `import … from 'millrace'` gives.
export type { Json } from '../domain/message.ts'
export { type Handler, type StageContext, StageFailure, type StopReason } from '../ports/handler.ts'
export type { StageDocuments } from '../ports/stage-reports.ts'
export { defineHandler, type HandlerDefinition } from './define-handler.ts'
