/** Of what an attempt may write; what is over it is dropped, and the last line says so. */
export const ATTEMPT_LIMIT_BYTES = 10 * 1024 * 1024
export const LIMIT_NOTICE = 'the log of this attempt is full at 10 MiB; what followed was dropped'
/** A longer line is cut into several, in UTF-16 units. */
export const TEXT_LIMIT = 64 * 1024
/** Lines are passed on when there is so much of them, or it is time. */
export const FLUSH_BYTES = 64 * 1024
export const FLUSH_AFTER_MS = 100
