/**
 * Nexmark: every query as a program and as a hand-written loop, in turn over the same events in memory, each query in a process of its
 * own; with `--peer`, another engine over the same event file besides. Throughput is in events, all kinds counted, per second and per
 * second of CPU (all threads of the process, garbage collection and compilation included).
 *
 * Not measured: reading events, connectors other than q10's files, networks.
 */
import { spawnSync } from 'node:child_process';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { JsonValue } from '../../src/index.ts';
import type { StoreUsage } from '../../src/storage/metering-store.ts';
import { HEADER_BYTES, readHeader, writeEventFile } from './event-file.ts';
import { NEXMARK_DEFAULTS } from './generator.ts';
import type { Measured } from './measure.ts';
import { type PeerRun, runPeer } from './peer.ts';
import { QUERIES } from './queries.ts';
import type { QueryRequest, QueryRun } from './run-query.ts';

const EVENTS_QUICK = 400_000;
const EVENTS_FULL = 2_000_000;
const RUNS_QUICK = 3;
const RUNS_FULL = 5;
const OUTPUT_BYTES_MAX = 1 << 26;

export const USAGE = `  --queries q0,q5      which, default all
  --events N           how many, default ${EVENTS_QUICK} with --quick and ${EVENTS_FULL} without
  --events-per-second  of event time, default ${NEXMARK_DEFAULTS.eventsPerSecond}
  --event-file F       events from a file of write-events.ts instead
  --parallelism P      default 1
  --backend B          hashmap (default) or forst
  --cache-size BYTES   memory of forst
  --latency-ms MS      of each request to the store of forst
  --checkpoint-interval-ms MS
  --runs R             measured runs of each, after one that is not; the median counts
  --no-loop            programs only
  --rate R             one more run of each at so many events a second, for latency
  --config KEY=VALUE   any job option; can be repeated
  --peer flink         with the runner in bench/peers/flink`;

interface Settings {
  readonly queries: readonly string[];
  readonly events: number;
  readonly eventsPerSecond: number;
  readonly eventFile: string | undefined;
  readonly parallelism: number;
  readonly runs: number;
  readonly withLoop: boolean;
  readonly latencyMs: number;
  readonly rate: number | undefined;
  readonly config: Readonly<Record<string, JsonValue>>;
  readonly peer: string | undefined;
  readonly backend: string;
}

function settingsOf(args: readonly string[], quick: boolean): Settings {
  const { values } = parseArgs({
    args: [...args],
    options: {
      queries: { type: 'string' },
      events: { type: 'string' },
      'events-per-second': { type: 'string' },
      'event-file': { type: 'string' },
      parallelism: { type: 'string', default: '1' },
      backend: { type: 'string', default: 'hashmap' },
      'cache-size': { type: 'string' },
      'latency-ms': { type: 'string' },
      'checkpoint-interval-ms': { type: 'string' },
      runs: { type: 'string' },
      rate: { type: 'string' },
      'no-loop': { type: 'boolean', default: false },
      config: { type: 'string', multiple: true, default: [] },
      peer: { type: 'string' },
    },
  });
  const given = values.config.map((pair) => {
    const at = pair.indexOf('=');
    return [pair.slice(0, at), pair.slice(at + 1)] as const;
  });
  const option = (key: string, value: string | undefined): Record<string, JsonValue> =>
    value === undefined ? {} : { [key]: value };
  const queries = values.queries?.split(',') ?? Object.keys(QUERIES);
  for (const query of queries)
    if (QUERIES[query] === undefined) throw new RangeError(`there is no query ${query}`);
  return {
    queries,
    events: Number(values.events ?? (quick ? EVENTS_QUICK : EVENTS_FULL)),
    eventsPerSecond: Number(values['events-per-second'] ?? NEXMARK_DEFAULTS.eventsPerSecond),
    eventFile: values['event-file'],
    parallelism: Number(values.parallelism),
    runs: Number(values.runs ?? (quick ? RUNS_QUICK : RUNS_FULL)),
    withLoop: !values['no-loop'],
    latencyMs: Number(values['latency-ms'] ?? 0),
    rate: values.rate === undefined ? undefined : Number(values.rate),
    config: {
      ...(values.backend === 'hashmap' ? {} : { 'state.backend.type': values.backend }),
      ...option('taskmanager.memory.managed.size', values['cache-size']),
      ...option('execution.checkpointing.interval', values['checkpoint-interval-ms']),
      ...Object.fromEntries(given),
    },
    peer: values.peer,
    backend: values.backend,
  };
}

function runQuery(request: QueryRequest): QueryRun {
  const script = fileURLToPath(new URL('run-query.ts', import.meta.url));
  const run = spawnSync(process.execPath, ['--expose-gc', script, JSON.stringify(request)], {
    encoding: 'utf8',
    maxBuffer: OUTPUT_BYTES_MAX,
  });
  if (run.status !== 0) throw new RangeError(`${request.query} failed: ${run.stderr}`);
  return JSON.parse(run.stdout.trim().split('\n').at(-1)!) as QueryRun; // run-query.ts printed it
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

const percentile = (values: readonly number[], share: number): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length * share)] ?? Number.NaN;

const geomean = (values: readonly number[]): number =>
  Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);

interface Row {
  readonly query: string;
  readonly isStateful: boolean;
  readonly perSecond: number;
  readonly perCpuSecond: number;
  /** NaN without loops. */
  readonly loopPerSecond: number;
  readonly vsLoop: number;
  readonly run: QueryRun;
  readonly peer: PeerRun | undefined;
}

function rowOf(run: QueryRun, events: number, peer: PeerRun | undefined): Row {
  const seconds = ({ seconds: s }: Measured): number => s;
  return {
    query: run.query,
    isStateful: QUERIES[run.query]!.isStateful,
    perSecond: events / median(run.engine.map(seconds)),
    perCpuSecond: events / median(run.engine.map(({ cpuSeconds }) => cpuSeconds)),
    loopPerSecond: events / median(run.loop.map(seconds)),
    vsLoop: median(
      run.engine.map((engine, i) => (run.loop[i]?.seconds ?? Number.NaN) / engine.seconds),
    ),
    run,
    peer,
  };
}

const million = (value: number): string => (value / 1e6).toFixed(2).padStart(8);

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;

function print(row: Row): void {
  const { query, run, peer } = row;
  const { ms, bytes } = run.checkpoints;
  const cells = [
    query.padEnd(4),
    million(row.perSecond),
    million(row.perCpuSecond),
    Number.isNaN(row.vsLoop) ? '' : million(row.loopPerSecond),
    Number.isNaN(row.vsLoop) ? '' : row.vsLoop.toFixed(2).padStart(6),
    megabytes(run.peakRssBytes).padStart(11),
    ms.length === 0
      ? ''
      : `  ${ms.length} checkpoints, p50 ${median(ms)} ms, p99 ${percentile(ms, 0.99)} ms, largest ${megabytes(Math.max(...bytes))}`,
    run.latency === undefined
      ? ''
      : `  latency p50 ${run.latency.p50Ms.toFixed(1)} ms, p99 ${run.latency.p99Ms.toFixed(1)} ms`,
    run.store === undefined ? '' : `  ${requests(run.store)}`,
    peer === undefined
      ? ''
      : `  peer ${million(peer.events / peer.cpuSeconds)} a CPU second, ${ratioToPeer(row).toFixed(1)} x, ${megabytes(peer.peakRssBytes)}`,
  ];
  console.log(cells.join(' '));
}

const requests = ({ requests: { get, head, put, list }, bytesRead, dollars }: StoreUsage): string =>
  `${get + head} GET (${megabytes(bytesRead)}), ${put + list} PUT, ${(dollars * 100).toFixed(3)} cents`;

const ratioToPeer = ({ perCpuSecond, peer }: Row): number =>
  peer === undefined ? Number.NaN : perCpuSecond / (peer.events / peer.cpuSeconds);

function figuresOf(rows: readonly Row[], { peer, backend }: Settings): Record<string, number> {
  const figures: Record<string, number> = {};
  for (const row of rows) {
    figures[`${row.query}_events_per_s`] = row.perSecond;
    figures[`${row.query}_events_per_cpu_s`] = row.perCpuSecond;
    if (!Number.isNaN(row.vsLoop)) figures[`${row.query}_vs_loop`] = row.vsLoop;
    if (peer !== undefined) figures[`${row.query}_vs_${peer}`] = ratioToPeer(row);
  }
  const loops = (isStateful: boolean): readonly number[] =>
    rows
      .filter((row) => row.isStateful === isStateful && !Number.isNaN(row.vsLoop))
      .map(({ vsLoop }) => vsLoop);
  if (loops(false).length > 0) figures['stateless_vs_loop'] = geomean(loops(false));
  if (loops(true).length > 0) figures['stateful_vs_loop'] = geomean(loops(true));
  if (peer === undefined) return figures;
  const ratios = rows.map(ratioToPeer);
  figures[`${peer}_${backend === 'hashmap' ? 'heap' : 'state'}_geomean`] = geomean(ratios);
  figures[`worst_query_vs_${peer}`] = Math.min(...ratios);
  return figures;
}

async function countOf(eventFile: string): Promise<number> {
  const file = await open(eventFile);
  try {
    const header = Buffer.alloc(HEADER_BYTES);
    await file.read(header);
    return readHeader(header).events;
  } finally {
    await file.close();
  }
}

export async function run({
  quick,
  args,
}: {
  quick: boolean;
  args: readonly string[];
}): Promise<Readonly<Record<string, number>>> {
  const settings = settingsOf(args, quick);
  const dir = await mkdtemp(join(tmpdir(), 'millrace-nexmark-events-'));
  try {
    const eventFile = settings.eventFile ?? join(dir, 'events');
    const { events, eventsPerSecond } = settings;
    if (settings.eventFile === undefined)
      await writeEventFile(eventFile, { events, eventsPerSecond });
    const eventsIn = await countOf(eventFile);
    console.log('     M events/s, /CPU s, of the loop, ratio, peak memory');
    const rows: Row[] = [];
    for (const query of settings.queries) {
      const { parallelism, runs, withLoop, latencyMs, rate, config } = settings;
      const work = await mkdtemp(join(dir, query));
      const request = {
        query,
        eventFile,
        parallelism,
        runs,
        withLoop,
        latencyMs,
        config,
        dir: work,
        ...(rate === undefined ? {} : { rate }),
      };
      const measured = runQuery(request);
      await rm(work, { recursive: true });
      const peer =
        settings.peer === undefined
          ? undefined
          : runPeer(settings.peer, {
              query,
              eventFile,
              parallelism,
              runs,
              backend: settings.backend,
            });
      const row = rowOf(measured, eventsIn, peer);
      print(row);
      rows.push(row);
    }
    return figuresOf(rows, settings);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}
