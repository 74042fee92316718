/** The command line of `bench -- nexmark`. */
import { parseArgs } from 'node:util';
import type { JsonValue } from '../../src/index.ts';
import { NEXMARK_DEFAULTS } from './generator.ts';
import { QUERIES } from './queries.ts';

const EVENTS_QUICK = 400_000;
const EVENTS_FULL = 2_000_000;
/** Beside a peer: ten seconds of event time. All of it takes half an hour and more. */
const EVENTS_PEER = 1_000_000;
const REPEAT_QUICK = 3;
const REPEAT_FULL = 5;
const MANAGED_BYTES = 256 * 1024 * 1024;

/** Queries whose state is what they cost: run in forst when none are named. */
const STATE_HEAVY = ['q4', 'q5', 'q7', 'q8', 'q9', 'q11', 'q16', 'q18', 'q19', 'q20'];

export const USAGE = `  --queries q0,q5      which, default all; with forst ${STATE_HEAVY.join(',')}
  --events N           how many, default ${EVENTS_QUICK} with --quick and ${EVENTS_FULL} without; beside a peer ${EVENTS_PEER}
  --events-per-second  of event time, default ${NEXMARK_DEFAULTS.eventsPerSecond}
  --event-file F       events from a file of write-events.ts instead
  --parallelism P      default 1
  --backend B          hashmap or forst; default hashmap, beside a peer one after the other
  --cache-size BYTES   memory of forst, and of the peer for what is not on the heap; default ${MANAGED_BYTES}
  --latency-ms MS      of each request to the store of forst
  --checkpoint-interval-ms MS
  --repeat R           measured runs of each, after four that are not; the median counts
  --no-loop            programs only
  --rate R             one more run of each at so many events a second, for latency
  --config KEY=VALUE   any job option; can be repeated
  --peer flink         beside Apache Flink, which bench/peers/flink builds with Maven
  --peer-config KEY=VALUE  any option of the peer; can be repeated`;

export interface Settings {
  /** Of each backend. */
  readonly sections: readonly Section[];
  readonly eventsPerSecond: number;
  readonly eventFile: string | undefined;
  readonly parallelism: number;
  readonly repeat: number;
  readonly withLoop: boolean;
  readonly latencyMs: number;
  readonly rate: number | undefined;
  readonly managedBytes: number;
  readonly config: Readonly<Record<string, JsonValue>>;
  readonly peer: string | undefined;
  readonly peerConfig: Readonly<Record<string, string>>;
}

export interface Section {
  readonly backend: string;
  readonly queries: readonly string[];
  readonly events: number;
}

const OPTIONS = {
  queries: { type: 'string' },
  events: { type: 'string' },
  'events-per-second': { type: 'string', default: String(NEXMARK_DEFAULTS.eventsPerSecond) },
  'event-file': { type: 'string' },
  parallelism: { type: 'string', default: '1' },
  backend: { type: 'string' },
  'cache-size': { type: 'string', default: String(MANAGED_BYTES) },
  'latency-ms': { type: 'string', default: '0' },
  'checkpoint-interval-ms': { type: 'string' },
  repeat: { type: 'string' },
  rate: { type: 'string' },
  'no-loop': { type: 'boolean', default: false },
  config: { type: 'string', multiple: true },
  peer: { type: 'string' },
  'peer-config': { type: 'string', multiple: true },
} as const;

const parse = (args: readonly string[]) => parseArgs({ args: [...args], options: OPTIONS }).values;

type Values = ReturnType<typeof parse>;

function pairsOf(given: readonly string[]): Readonly<Record<string, string>> {
  return Object.fromEntries(
    given.map((pair) => {
      const at = pair.indexOf('=');
      return [pair.slice(0, at), pair.slice(at + 1)] as const;
    }),
  );
}

function sectionsOf({ queries, events, backend, peer }: Values, quick: boolean): Section[] {
  const named = queries?.split(',');
  for (const query of named ?? [])
    if (QUERIES[query] === undefined) throw new RangeError(`there is no query ${query}`);
  const backends = backend === undefined && peer !== undefined ? ['hashmap', 'forst'] : [backend];
  return backends.map((name = 'hashmap') => {
    const all = name === 'hashmap' ? Object.keys(QUERIES) : STATE_HEAVY;
    // A backend that was not asked for takes of the queries those that it is for.
    const some =
      named === undefined
        ? all
        : named.filter((query) => backend !== undefined || all.includes(query));
    const full = peer === undefined ? EVENTS_FULL : EVENTS_PEER;
    return {
      backend: name,
      queries: some,
      events: Number(events ?? (quick ? EVENTS_QUICK : full)),
    };
  });
}

/** @throws RangeError for a query that is none */
export function settingsOf(args: readonly string[], quick: boolean): Settings {
  const values = parse(args);
  const interval = values['checkpoint-interval-ms'];
  const checkpointing =
    interval === undefined ? {} : { 'execution.checkpointing.interval': `${interval} ms` };
  return {
    sections: sectionsOf(values, quick),
    eventsPerSecond: Number(values['events-per-second']),
    eventFile: values['event-file'],
    parallelism: Number(values.parallelism),
    repeat: Number(values.repeat ?? (quick ? REPEAT_QUICK : REPEAT_FULL)),
    withLoop: !values['no-loop'],
    latencyMs: Number(values['latency-ms']),
    rate: values.rate === undefined ? undefined : Number(values.rate),
    managedBytes: Number(values['cache-size']),
    config: { ...checkpointing, ...pairsOf(values.config ?? []) },
    peer: values.peer,
    peerConfig: { ...checkpointing, ...pairsOf(values['peer-config'] ?? []) },
  };
}
