/** What the parts of Millrace say to whoever runs it; pino fits as it is. */
export interface Logger {
  info(details: object, message: string): void
  warn(details: object, message: string): void
  error(details: object, message: string): void
}
