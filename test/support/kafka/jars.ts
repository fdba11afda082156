// Where the jars of the broker are, and how they get there. The version is the one of pom.xml.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'

const POM = join(import.meta.dirname, 'pom.xml')

function cacheFolder(): string {
  const version = /<kafka\.version>([\d.]+)</.exec(readFileSync(POM, 'utf8'))![1]!
  return join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'millrace-tests', `kafka-${version}`)
}

/** The folder of the jars; KAFKA_LIBS names another one. */
export const jarFolder = (): string => process.env.KAFKA_LIBS ?? cacheFolder()

export const hasJars = (): boolean =>
  existsSync(jarFolder()) && readdirSync(jarFolder()).some((name) => name.startsWith('kafka_2.13-'))

/** Has Maven bring the jars, unless they are there. Answers why they could not be had. */
export function provideJars(): string | undefined {
  if (hasJars()) return undefined
  const folder = cacheFolder()
  mkdirSync(dirname(folder), { recursive: true })
  // Into a folder that takes its name once it is whole: an attempt that was cut off leaves no half of a broker.
  const partial = mkdtempSync(`${folder}-partial-`)
  const goal = ['-q', '-B', '-f', POM, 'dependency:copy-dependencies', `-DoutputDirectory=${partial}`]
  const { error, status, stdout } = spawnSync('mvn', goal, { encoding: 'utf8', timeout: 600_000 })
  if (error === undefined && status === 0) {
    if (!existsSync(folder)) renameSync(partial, folder)
    return undefined
  }
  rmSync(partial, { recursive: true })
  return `mvn could not bring the jars of Kafka: ${error?.message ?? stdout.trim().split('\n').at(-1)}`
}
