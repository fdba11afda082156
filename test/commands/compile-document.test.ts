import { describe, expect, test } from 'vitest'
import { compileDocument } from '../../src/commands/compile-document.ts'
import { parseDocument, withLine } from '../../src/commands/parse-document.ts'

const faultsOf = (text: string, format: 'yaml' | 'json' = 'yaml') => {
  const { value, lineOf } = parseDocument(text, format)
  const compilation = compileDocument(value)
  return compilation.ok ? [] : compilation.faults.map((fault) => withLine(fault, lineOf))
}

describe('a document', () => {
  test('of the guide compiles', () => {
    const text = `
name: release
input: { type: object, required: [service], properties: { service: { type: string } } }
timeout: 1h
retry: { maxAttempts: 3, backoff: { type: exponential, initial: 2s, max: 1m, jitter: 0.2 } }
onFailure: continue
stages:
  build:  { uses: shell, with: { run: "make build", env: { SERVICE: "\${{ input.service }}" } }, timeout: 10m }
  pause:  { uses: wait, needs: [build], with: { duration: 10s } }
  deploy: { uses: shell, needs: [pause], when: "input.service != 'docs'", with: { run: "make deploy" } }
  tell:   { uses: http, needs: [deploy], trigger: all-done, with: { url: "https://example.com/hook", method: POST, body: { status: "\${{ stages.deploy.status }}" } } }
`
    const compilation = compileDocument(parseDocument(text, 'yaml').value)
    expect(compilation).toMatchObject({ ok: true, inputSchema: { type: 'object' } })
  })
  test('has its faults with their lines, those of the input schema included', () => {
    const text = 'name: x\ninput:\n  properties:\n    a: {pattern: x}\nstages:\n  a:\n    uses: shell\n    nedds: []\n'
    expect(faultsOf(text).map(({ pointer, line }) => [pointer, line])).toEqual([
      ['/stages/a/nedds', 8],
      ['/stages/a/with/run', 6],
      ['/input/properties/a/pattern', 4],
    ])
  })
  test('of JSON has faults without lines', () => {
    expect(faultsOf('{"name": "x"}', 'json')).toEqual([{ pointer: '/stages', message: 'is required' }])
  })
  test('whose input is no object has that fault once', () => {
    expect(faultsOf('name: x\ninput: 3\nstages: {a: {uses: b}}')).toEqual([
      { pointer: '/input', message: 'expected record, received number', line: 2 },
    ])
  })
  test('that is no map is refused', () => {
    expect(faultsOf('hello')).toHaveLength(1)
    expect(faultsOf('# nothing')).toHaveLength(1)
  })
})
