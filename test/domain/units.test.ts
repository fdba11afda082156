import { describe, expect, test } from 'vitest'
import { parseDurationMs, parseInstantMs, parseMemoryBytes } from '../../src/domain/workflow/units.ts'

describe('units', () => {
  test.each(['', '10', '1h30m', '-1s', '1 s', '1S', '1w', '1e3s', '.5s', '١s', '4000d', '9999999999s'])(
    '%j is no duration',
    (text) => {
      expect(parseDurationMs(text)).toBeUndefined()
    },
  )
  test.each([
    ['0s', 0],
    ['500ms', 500],
    ['0.5s', 500],
    ['3650d', 315_360_000_000],
  ])('%s is %i ms', (text, ms) => {
    expect(parseDurationMs(text)).toBe(ms)
  })
  test.each([
    ['1024', 1_024],
    ['512Mi', 536_870_912],
    ['2Gi', 2_147_483_648],
    ['2GB', undefined],
    ['', undefined],
  ])('%j of memory is %s bytes', (text, bytes) => {
    expect(parseMemoryBytes(text)).toBe(bytes)
  })
  test.each([
    ['2030-01-31T18:00:00Z', Date.UTC(2030, 0, 31, 18)],
    ['2030-01-31T18:00:00.5+02:00', Date.UTC(2030, 0, 31, 16, 0, 0, 500)],
    ['2030-01-31T18:00:00', undefined],
    ['2030-01-31', undefined],
    ['2030-13-31T18:00:00Z', undefined],
    ['tomorrow', undefined],
  ])('%s is the instant %s', (text, ms) => {
    expect(parseInstantMs(text)).toBe(ms)
  })
})
