// A program that runs one shell stage and is meant to be killed meanwhile: node shell-until-killed.ts <workDir> <instance> <script>
import { createShellHandler } from '../../src/workers/handlers/shell.ts'
import { stageContext } from './stage-context.ts'

const [workDir = '', instance = '', run = ''] = process.argv.slice(2)
await createShellHandler({ workDir, instance, environment: process.env }).run(stageContext({ run }).context)
