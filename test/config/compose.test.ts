// No engine runs where this is developed, so the files are held to what can be read off them.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import packageFile from '../../package.json' with { type: 'json' }
import { readConfig } from '../../src/config.ts'

type Service = {
  readonly image: string
  readonly user?: string
  readonly read_only?: boolean
  readonly environment?: Readonly<Record<string, string | number>>
  readonly volumes?: readonly string[]
  readonly ports?: readonly string[]
  readonly healthcheck?: { readonly test: readonly string[] }
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>
  readonly deploy?: { readonly resources: { readonly limits: { readonly cpus: string; readonly memory: string } } }
}

const read = (path: string) => readFileSync(join(import.meta.dirname, '../..', path), 'utf8')
const compose = parse(read('docker-compose.yml'), { merge: true }) as {
  readonly services: Readonly<Record<string, Service>>
  readonly volumes: Readonly<Record<string, null>>
}
const services = Object.entries(compose.services)
/** Those that are this program. */
const own = services.filter(([, { image }]) => image === `millrace:${packageFile.version}`)

/** `${NAME:-default}` as docker compose would put it where nothing is set. */
const filledIn = (text: string): string => text.replace(/\$\{\w+:-([^}]*)\}/g, '$1')
const settingsOf = ({ environment = {} }: Service) =>
  Object.fromEntries(Object.entries(environment).map(([name, value]) => [name, filledIn(String(value))]))

describe('docker-compose.yml', () => {
  it.each(services)('%s: its image is pinned, its resources are limited, its user is not root', (_, service) => {
    expect(service.image).toMatch(/^[a-z0-9./-]+:\d+\.\d+(\.\d+)?(-[a-z0-9-]+)?$/)
    expect(service.deploy?.resources.limits).toMatchObject({ cpus: expect.any(String), memory: expect.any(String) })
    if (!own.some(([, one]) => one === service)) expect(service.user).toMatch(/^(?!root$)[a-z]+$/)
    else expect(service.read_only).toBe(true)
  })

  it.each(services)('%s: what it publishes, it publishes on the loopback address', (_, { ports = [] }) => {
    for (const port of ports) expect(port).toMatch(/^127\.0\.0\.1:\d+:\d+$/)
  })

  it.each(services)('%s: it is watched, keeps its data, and waits for what it needs', (name, service) => {
    // Those of this program are watched as their image says.
    if (!own.some(([one]) => one === name)) expect(service.healthcheck?.test.length).toBeGreaterThan(1)
    const mounts = (service.volumes ?? []).map((volume) => volume.split(':')[0])
    expect(mounts.length).toBeGreaterThan(0)
    for (const volume of mounts) expect(Object.keys(compose.volumes)).toContain(volume)
    for (const [other, { condition }] of Object.entries(service.depends_on ?? {})) {
      expect(Object.keys(compose.services)).toContain(other)
      expect(condition).toBe('service_healthy')
    }
  })

  it.each(own)('%s: its settings are settings', (_, service) => {
    expect(() => readConfig({}, settingsOf(service))).not.toThrow()
  })

  it('has every role, and two workers', () => {
    const roles = own.flatMap(([, service]) => readConfig({}, settingsOf(service)).roles)
    expect([...roles].sort()).toEqual(['api', 'engine', 'projector', 'reactors', 'worker', 'worker'])
  })

  it('gives workers the queue and the leases, and nothing else', () => {
    const workers = own.filter(([, { environment }]) => environment?.MILLRACE_ROLES === 'worker')
    for (const [, { environment = {} }] of workers)
      expect(Object.keys(environment).sort()).toEqual(['MILLRACE_LEASES', 'MILLRACE_QUEUE', 'MILLRACE_ROLES'])
  })

  it('has the servers that the profile is made for', () => {
    const images = services.map(([, { image }]) => image)
    for (const wanted of [/^postgres:18\./, /^redis:8\./, /^apache\/kafka:4\./, /^eventstore\/eventstore:24\.10/])
      expect(images.some((image) => wanted.test(image))).toBe(true)
  })
})

describe('Dockerfile', () => {
  const lines = read('Dockerfile').split('\n')
  const all = (instruction: string) => lines.filter((line) => line.startsWith(`${instruction} `))

  it('is built in two stages from one pinned image', () => {
    const images = all('FROM').map((line) => line.split(' ')[1])
    expect(images).toHaveLength(2)
    expect(new Set(images).size).toBe(1)
    expect(images[0]).toMatch(/^node:24\.\d+\.\d+-bookworm-slim$/)
  })

  it('runs as an ordinary user, is watched, and knows the settings', () => {
    expect(all('USER').at(-1)).toBe('USER node')
    expect(all('HEALTHCHECK')).toHaveLength(1)
    const settings = [...read('Dockerfile').matchAll(/\b(MILLRACE_\w+)=(\S+)/g)].map(([, name, value]) => [name, value])
    expect(settings.length).toBeGreaterThan(1)
    expect(() => readConfig({}, Object.fromEntries(settings))).not.toThrow()
  })

  it('copies what is there, and what .dockerignore lets through', () => {
    const copied = all('COPY')
      .filter((line) => !line.includes('--from'))
      .flatMap((line) => line.split(' ').slice(1, -1))
    const letThrough = read('.dockerignore')
      .split('\n')
      .filter((line) => line.startsWith('!'))
    for (const path of copied) expect(letThrough).toContain(`!${path}`)
  })
})
