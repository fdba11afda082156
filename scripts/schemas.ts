// Writes schemas/workflow.json from the schema in the code; a test holds the file to it.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { publishedSchema } from '../src/domain/workflow/published-schema.ts'

const file = join(import.meta.dirname, '../schemas/workflow.json')
writeFileSync(file, `${JSON.stringify(publishedSchema(), null, 2)}\n`)
