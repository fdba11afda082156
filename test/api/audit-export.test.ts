// The chain over the audit: what is exported is proved by itself, and no byte of it can be changed unseen.
import { createHash, generateKeyPairSync } from 'node:crypto'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { signerOf } from '../../src/adapters/audit-key.ts'
import type { KnownCheckpoint } from '../../src/cli/audit-chain.ts'
import { AUDIT, audited, verdictOn } from '../support/audited.ts'
import { startTestPostgres, type TestPostgres } from '../support/postgres.ts'
import { expectProblem } from '../support/problems.ts'
import { until } from '../support/recorded-log.ts'

let postgres: TestPostgres
beforeAll(async () => {
  postgres = await startTestPostgres()
})
afterAll(() => postgres.stop())

describe('an export', () => {
  test('is verified by itself, with its signature and checkpoints that were kept', async (t) => {
    const { run, exported, key, server, send } = await audited(t, postgres)
    await run()
    await send('POST', 'executions', { workflow: 'nothing' })
    const first = await exported()
    const { publicKey } = await key()
    const kept = (await server.inject(`${AUDIT}/checkpoint`)).json<{ checkpoint: KnownCheckpoint }>().checkpoint
    const verdict = await verdictOn(first, publicKey, [kept])
    expect(verdict).toMatchObject({ faults: [], namespace: 'default', from: 1, to: kept.sequence })
    expect(verdict.signedAt).toMatch(/^\d{4}-/)
    expect((await verdictOn(first)).signedAt).toBeUndefined()
    await run()
    const later = await exported()
    expect(await verdictOn(later, publicKey, [kept])).toMatchObject({ faults: [] })
    // From the middle on, it links to what was before.
    const tail = await exported(`?from=${kept.sequence + 1}`)
    expect(await verdictOn(tail, publicKey, [kept])).toMatchObject({ faults: [], from: kept.sequence + 1 })
    // An older export lacks what the newer checkpoint has.
    const newest = (await server.inject(`${AUDIT}/checkpoint`)).json<{ checkpoint: KnownCheckpoint }>().checkpoint
    expect((await verdictOn(first, publicKey, [newest])).faults).toMatchObject([
      { what: expect.stringContaining('was cut') },
    ])
    // One that lies before the export says nothing of it, nor one of another namespace.
    expect((await verdictOn(tail, publicKey, [{ ...kept, sequence: kept.sequence - 1 }])).faults).toMatchObject([
      { what: expect.stringContaining('before the export begins') },
    ])
    expect((await verdictOn(first, publicKey, [{ ...kept, namespace: 'defau1t' }])).faults).not.toEqual([])
    const other = signerOf(generateKeyPairSync('ed25519').privateKey).publicKey
    expect((await verdictOn(first, other)).faults).toMatchObject([
      { what: expect.stringContaining('is signed with the key') },
    ])
    expectProblem(await server.inject(`${AUDIT}/export?from=99999`), 404)
    expectProblem(await server.inject(`${AUDIT}/export?from=0`), 400)
    const nothing = (await server.inject('/v1/other/audit/export')).rawPayload
    expect(await verdictOn(nothing, publicKey)).toMatchObject({ faults: [], to: 0 })
  })

  test('and the list have nothing to say while the chain is built by a newer version', async (t) => {
    const { server, run, exported, pool } = await audited(t, postgres)
    await run()
    await exported()
    await pool.query(`UPDATE checkpoints SET version = 1 WHERE name = 'events'`)
    for (const url of [AUDIT, `${AUDIT}/export`, `${AUDIT}/checkpoint`]) {
      const answer = await server.inject(url)
      expectProblem(answer, 503, 'UNAVAILABLE')
      expect(answer.headers['retry-after']).toBe('1')
    }
  })

  test('does not depend on how the read models were built', async (t) => {
    const { run, exported, server, pool } = await audited(t, postgres)
    await run()
    const records = (bytes: Buffer) => bytes.toString().split('\n').slice(0, -2)
    const before = records(await exported())
    await server.inject({ method: 'POST', url: '/v1/admin/projections/events/rebuild', payload: {} })
    await until('the swap', async () => {
      const { rows } = await pool.query(`SELECT status FROM projection_rebuilds WHERE name = 'events'`)
      return rows[0]?.status === 'swapped'
    })
    expect(records(await exported())).toEqual(before)
  })

  test('of which any byte was changed, taken out or put in is not verified', { timeout: 120_000 }, async (t) => {
    const { run, exported, key, send } = await audited(t, postgres)
    await run()
    await send('POST', 'executions', { workflow: 'nothing' })
    const bytes = await exported()
    const { publicKey } = await key()
    const isSeen = async (changed: Buffer) => expect((await verdictOn(changed, publicKey)).faults).not.toEqual([])
    const place = fc.nat({ max: bytes.length - 1 })
    await fc.assert(
      fc.asyncProperty(place, fc.integer({ min: 1, max: 255 }), async (at, by) => {
        const changed = Buffer.from(bytes)
        changed[at] = (changed[at]! + by) % 256
        await isSeen(changed)
      }),
      { numRuns: 4_000 },
    )
    await fc.assert(
      fc.asyncProperty(place, fc.nat({ max: 255 }), fc.boolean(), async (at, byte, out) => {
        const changed = Buffer.concat([
          bytes.subarray(0, at),
          Buffer.from(out ? [] : [byte]),
          bytes.subarray(out ? at + 1 : at),
        ])
        // Of two equal neighbours it is no change which of them went or came.
        if (!changed.equals(bytes)) await isSeen(changed)
      }),
      { numRuns: 4_000 },
    )
  })

  test('that was made anew around a record that is missing has a gap, also without the key', async (t) => {
    const { run, exported } = await audited(t, postgres)
    await run()
    const lines = (await exported()).toString().trimEnd().split('\n')
    const records = lines.slice(1, -1).map((line) => /^\{"record":(.*),"hash":"[0-9a-f]{64}"\}$/s.exec(line)![1]!)
    let hash = '0'.repeat(64)
    const chained = records.toSpliced(2, 1).map((record) => {
      hash = createHash('sha256').update(`${hash}${record}`).digest('hex')
      return `{"record":${record},"hash":"${hash}"}`
    })
    const { checkpoint } = JSON.parse(lines.at(-1)!)
    const last = `{"checkpoint":${JSON.stringify({ ...checkpoint, hash })}}`
    const forged = [lines[0], ...chained, last].map((line) => `${line}\n`).join('')
    expect((await verdictOn(Buffer.from(forged))).faults).toMatchObject([
      { line: 4, what: expect.stringContaining('is record 4 where 3 is due') },
    ])
  })

  test('of which lines were taken out, put in, exchanged or cut is not verified, and it is said which', async (t) => {
    const { run, exported, key } = await audited(t, postgres)
    await run()
    const bytes = await exported()
    await run()
    const later = await exported()
    const { publicKey } = await key()
    const lines = bytes.toString().trimEnd().split('\n')
    const faultsOf = async (changed: readonly string[]) =>
      (await verdictOn(Buffer.from(changed.map((line) => `${line}\n`).join('')), publicKey)).faults
    expect(await faultsOf(lines)).toEqual([])
    for (let at = 1; at < lines.length - 1; at++) {
      const [fault] = await faultsOf(lines.toSpliced(at, 1))
      expect(fault!.line).toBe(at + 1)
      expect((await faultsOf(lines.toSpliced(at, 0, lines[at]!)))[0]!.line).toBe(at + 2)
      if (at > 1) expect((await faultsOf(lines.toSpliced(at - 1, 2, lines[at]!, lines[at - 1]!)))[0]!.line).toBe(at)
      expect(await faultsOf(lines.slice(0, at + 1))).toMatchObject([
        { what: expect.stringContaining('its end was cut') },
      ])
      // Cut, with the checkpoint put after it again.
      if (at < lines.length - 2) expect(await faultsOf([...lines.slice(0, at + 1), lines.at(-1)!])).not.toEqual([])
    }
    // The checkpoint of another export.
    expect(await faultsOf([...lines.slice(0, -1), later.toString().trimEnd().split('\n').at(-1)!])).not.toEqual([])
    expect(await faultsOf([])).toMatchObject([{ what: 'the export is empty' }])
    expect((await verdictOn(bytes.subarray(0, -1), publicKey)).faults).toMatchObject([
      { what: expect.stringContaining('cut') },
    ])
  })
})
