// On which link of the distributed profile a run spends its time, from the metrics of its processes.

/** Sums of seconds over all processes. */
type Sums = Readonly<Record<keyof typeof METRICS, number>>

/** Ages count from when a worker reported the stage before, or from the request where there is none. */
const METRICS = {
  reportAge: 'millrace_report_age_seconds_sum',
  append: 'millrace_append_duration_seconds_sum{outcome="ok"}',
  ageWhenPublished: 'millrace_work_age_seconds_sum{when="published"}',
  publish: 'millrace_publish_duration_seconds_sum',
  ageWhenTaken: 'millrace_work_age_seconds_sum{when="taken"}',
} as const

export async function readLinks(addresses: readonly string[]): Promise<Sums> {
  const pages = await Promise.all(addresses.map(async (address) => (await fetch(`${address}/metrics`)).text()))
  const lines = pages.flatMap((page) => page.split('\n'))
  const sum = (metric: string) =>
    lines.filter((line) => line.startsWith(`${metric} `)).reduce((all, line) => all + Number(line.split(' ').at(-1)), 0)
  return Object.fromEntries(Object.entries(METRICS).map(([name, metric]) => [name, sum(metric)])) as Sums
}

type Link = { readonly msPerRun: number; readonly share: number }

/** Stages of a run, of which each is published, taken and reported once; its start is one more append. */
const STAGES = 5

/**
 * What each link takes of a run: `report`, from a worker's report to the engine that takes it (sent, kept, fetched); `append`, the log;
 * `follow`, from the log to the dispatcher; `produce`, work on its way into Kafka; `consume`, from there to the worker; `attempt`, what is
 * left: the lease, the handler, and the end on its way to whoever waits. Work is as old when it is published as the report and the append take
 * that it is due by, and the first has no report.
 */
export function linksBetween(before: Sums, after: Sums, runs: number, meanMs: number): Readonly<Record<string, Link>> {
  const perRun = (name: keyof Sums): number => ((after[name] - before[name]) * 1_000) / runs
  const [report, append, publish] = [perRun('reportAge'), perRun('append'), perRun('publish')]
  const follow = perRun('ageWhenPublished') - (report * (STAGES - 1)) / STAGES - (append * STAGES) / (STAGES + 1)
  const consume = perRun('ageWhenTaken') - perRun('ageWhenPublished') - publish
  const links = { report, append, follow, produce: publish, consume }
  const attempt = meanMs - Object.values(links).reduce((sum, ms) => sum + ms, 0)
  return Object.fromEntries(
    Object.entries({ ...links, attempt }).map(([name, ms]) => [
      name,
      { msPerRun: Math.round(ms * 10) / 10, share: Math.round((100 * ms) / meanMs) / 100 },
    ]),
  )
}
