import { expect, test } from 'vitest'
import { finishTables } from '../../src/projections/rebuild/finish-tables.ts'

const told = (code: string) => Object.assign(new Error(code), { code })
const { signal } = new AbortController()

/** Things that can be made, and are lost again when the database is restarted. */
function workshop(wanted: readonly string[]) {
  const made = new Set<string>()
  const left = async () => wanted.filter((one) => !made.has(one))
  return { made, left }
}

test('what a restart has lost is made again', async () => {
  const { made, left } = workshop(['a', 'b', 'c'])
  let restarts = 0
  const make = async (statement: string) => {
    made.add(statement)
    if (statement === 'c' && restarts++ === 0) {
      made.clear()
      throw told('57P01')
    }
  }
  expect(await finishTables({ left, make, signal })).toBeUndefined()
  expect([...made]).toEqual(['a', 'b', 'c'])
})

test('what was made although the answer was lost is not made again', async () => {
  const { made, left } = workshop(['a'])
  let tries = 0
  const make = async (statement: string) => {
    made.add(statement)
    tries++
    throw told('42P07')
  }
  expect(await finishTables({ left, make, signal })).toBeUndefined()
  expect(tries).toBe(1)
})

test('rows that do not fit are an answer, and what no database said is thrown', async () => {
  const { left } = workshop(['a'])
  const fails = (error: Error) => finishTables({ left, make: () => Promise.reject(error), signal })
  expect(await fails(told('23503'))).toMatchObject({ error: { message: '23503' } })
  await expect(fails(new Error('gone'))).rejects.toThrow('gone')
})
