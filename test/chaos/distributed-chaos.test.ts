// A short one of `npm run chaos -- --profile distributed`: one harm after another, each process and each server in turn.
import { expect, it } from 'vitest'
import { seededChance } from '../support/chance.ts'
import { distributedObstacle } from '../support/distributed.ts'
import { type Harm, harms, tormentDistributed } from '../support/distributed-chaos.ts'
import { skipFor } from '../support/skip.ts'

const why = await distributedObstacle()
/** One of each kind; the long run has them all, again and again. */
const chosen = ['kill api', 'kill engine', 'kill reactors', 'kill worker', 'stop and continue worker', 'kill projector']
const servers = ['kill Kafka', 'kill Redis', 'kill EventStoreDB', 'restart PostgreSQL']
const deck: readonly Harm[] = harms.filter(([what]) => [...chosen, ...servers].includes(what))
const LEAST_COMPLETED = 60

if (why !== undefined) it('loses nothing on servers of its own', (context) => skipFor(why, context))
else
  it('what was acknowledged survives the end of every process and server, happens once, and ends', {
    timeout: 420_000,
  }, async (t) => {
    const isEnough = (done: number) => done >= deck.length
    const told = await tormentDistributed(t, seededChance(), deck, isEnough, (line) => console.log(line))
    console.log(JSON.stringify(told.figures))
    expect(told.faults).toEqual([])
    expect(told.figures.completed).toBeGreaterThanOrEqual(LEAST_COMPLETED)
    expect(told.figures.archived).toBeGreaterThan(0)
  })
