/** What contests come to: a row for each, printed as it is there, and the figures over all. */
import type { StoreUsage } from '../../src/storage/metering-store.ts';
import type { Contest, PeerFigures } from './contest.ts';
import type { Measured } from './measure.ts';
import { QUERIES } from './queries.ts';

export interface Row {
  readonly contest: Contest;
  readonly perSecond: number;
  readonly perCpuSecond: number;
  /** NaN without loops. */
  readonly loopPerSecond: number;
  readonly vsLoop: number;
  /** Of the peer's backends the one with most events a CPU second. */
  readonly peer: PeerRow | undefined;
}

interface PeerRow {
  readonly backend: string;
  readonly perCpuSecond: number;
  /** How many times its events a CPU second we have. */
  readonly ratio: number;
  readonly peakRssBytes: number;
}

export const HEADING = '     M events/s, /CPU s, of the loop, ratio, peak memory';

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

const percentile = (values: readonly number[], share: number): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length * share)] ?? Number.NaN;

const geomean = (values: readonly number[]): number =>
  Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);

const million = (value: number): string => (value / 1e6).toFixed(2).padStart(8);

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;

const secondsOf = ({ seconds }: Measured): number => seconds;
const cpuSecondsOf = ({ cpuSeconds }: Measured): number => cpuSeconds;

export function rowOf(contest: Contest, events: number): Row {
  const { rounds } = contest;
  const engine = rounds.map((round) => round.engine);
  const loops = rounds.flatMap(({ loop }) => (loop === undefined ? [] : [loop]));
  const peers = contest.peers.map((peer) => peerRowOf(peer, engine, events));
  return {
    contest,
    perSecond: events / median(engine.map(secondsOf)),
    perCpuSecond: events / median(engine.map(cpuSecondsOf)),
    loopPerSecond: events / median(loops.map(secondsOf)),
    vsLoop: median(loops.map((loop, i) => loop.seconds / engine[i]!.seconds)),
    peer: peers.toSorted((a, b) => b.perCpuSecond - a.perCpuSecond)[0],
  };
}

function peerRowOf(
  { backend, runs }: PeerFigures,
  engine: readonly Measured[],
  events: number,
): PeerRow {
  return {
    backend,
    perCpuSecond: events / median(runs.map(cpuSecondsOf)),
    ratio: median(runs.map((run, i) => run.cpuSeconds / engine[i]!.cpuSeconds)),
    peakRssBytes: Math.max(...runs.map(({ peakRssBytes }) => peakRssBytes)),
  };
}

export function print({ contest, ...row }: Row): void {
  const { query, rounds, latency } = contest;
  const last = rounds.at(-1)!;
  const ms = rounds.flatMap(({ engine }) => engine.checkpoints.ms);
  const bytes = rounds.flatMap(({ engine }) => engine.checkpoints.bytes);
  const { store } = last.engine;
  const cells = [
    query.padEnd(4),
    million(row.perSecond),
    million(row.perCpuSecond),
    Number.isNaN(row.vsLoop) ? '' : million(row.loopPerSecond),
    Number.isNaN(row.vsLoop) ? '' : row.vsLoop.toFixed(2).padStart(6),
    megabytes(last.peakRssBytes).padStart(11),
    ms.length === 0
      ? ''
      : `  ${ms.length} checkpoints, p50 ${median(ms)} ms, p99 ${percentile(ms, 0.99)} ms, largest ${megabytes(Math.max(...bytes))}`,
    latency === undefined
      ? ''
      : `  latency p50 ${latency.p50Ms.toFixed(1)} ms, p99 ${latency.p99Ms.toFixed(1)} ms`,
    store === undefined ? '' : `  ${requests(store)}`,
    row.peer === undefined ? '' : `  ${besides(row.peer)}`,
  ];
  console.log(cells.join(' '));
}

const requests = ({ requests: r, bytesRead, bytesWritten, dollars }: StoreUsage): string =>
  `${r.get + r.head} GET (${megabytes(bytesRead)}), ${r.put + r.list} PUT (${megabytes(bytesWritten)}), ${(dollars * 100).toFixed(3)} cents`;

const besides = ({ backend, perCpuSecond, ratio, peakRssBytes }: PeerRow): string =>
  `peer (${backend}) ${million(perCpuSecond)} a CPU second, ${ratio.toFixed(1)} x, ${megabytes(peakRssBytes)}`;

/** Figures of the backend that is not the first carry its name. */
export function figuresOf(rows: readonly Row[], peer: string | undefined): Record<string, number> {
  const figures: Record<string, number> = {};
  const [first] = rows;
  for (const row of rows) {
    const { query, backend } = row.contest;
    const name = backend === first!.contest.backend ? query : `${query}_${backend}`;
    figures[`${name}_events_per_s`] = row.perSecond;
    figures[`${name}_events_per_cpu_s`] = row.perCpuSecond;
    if (!Number.isNaN(row.vsLoop)) figures[`${name}_vs_loop`] = row.vsLoop;
    if (row.peer !== undefined) figures[`${name}_vs_${peer}`] = row.peer.ratio;
  }
  return { ...figures, ...loopMeans(rows), ...peerMeans(rows, peer) };
}

function loopMeans(rows: readonly Row[]): Record<string, number> {
  const meanOf = (isStateful: boolean): number =>
    geomean(
      rows
        .filter(
          ({ contest, vsLoop }) =>
            QUERIES[contest.query]!.isStateful === isStateful && !Number.isNaN(vsLoop),
        )
        .map(({ vsLoop }) => vsLoop),
    );
  return defined({ stateless_vs_loop: meanOf(false), stateful_vs_loop: meanOf(true) });
}

function peerMeans(rows: readonly Row[], peer: string | undefined): Record<string, number> {
  const ratiosOf = (matches: (backend: string) => boolean): readonly number[] =>
    rows.flatMap((row) =>
      row.peer !== undefined && matches(row.contest.backend) ? [row.peer.ratio] : [],
    );
  const all = ratiosOf(() => true);
  if (all.length === 0) return {};
  return defined({
    [`${peer}_heap_geomean`]: geomean(ratiosOf((backend) => backend === 'hashmap')),
    [`${peer}_state_geomean`]: geomean(ratiosOf((backend) => backend !== 'hashmap')),
    [`worst_query_vs_${peer}`]: Math.min(...all),
  });
}

const defined = (figures: Record<string, number>): Record<string, number> =>
  Object.fromEntries(Object.entries(figures).filter(([, value]) => !Number.isNaN(value)));
