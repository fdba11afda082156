import { createScheduleDecider } from '../domain/schedule/decide.ts'
import { scheduledRunIdFor } from './fingerprint.ts'

/** The aggregate of a schedule, whose runs have the ids that everything else here derives for them. */
export const scheduleDecider = createScheduleDecider(scheduledRunIdFor)
