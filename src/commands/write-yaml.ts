import { stringify } from 'yaml'
import type { Json } from '../domain/message.ts'

/** YAML that `readYaml` reads as the same value; scripts stand in it line by line. */
export const writeYaml = (value: Json): string => stringify(value, { lineWidth: 0, aliasDuplicateObjects: false })
