/** One query: the program, its loop and the peers, each in a process of its own, take turns over the same events. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { JsonValue } from '../../src/index.ts';
import type { LatencyFigures } from './latency.ts';
import { LineProcess } from './line-process.ts';
import type { Peer, PeerEngine, PeerRun } from './peer.ts';
import { QUERIES } from './queries.ts';
import type { QueryRequest, RoundRun } from './run-query.ts';
import type { Settings } from './settings.ts';

/** Rounds of which nothing is kept: compilers have seen the code by then. */
const WARM_UPS = 4;
/** A peer's backend that needs so much more CPU time than its best one in the second of them is measured no further: the best counts. */
const TOO_SLOW = 1.5;

/**
 * How our process is tuned: docs/reference/memory.md. The last makes the heap double before it is marked: after the collections that the
 * harness forces, one before each run, V8 lets it grow by a fifth only.
 */
const V8_OPTIONS = [
  '--external-memory-accounted-in-global-limit',
  '--min-semi-space-size=128',
  '--max-semi-space-size=128',
  '--heap-growing-percent=100',
];

export interface ContestOptions {
  readonly query: string;
  readonly backend: string;
  readonly eventFile: string;
  readonly withLoop: boolean;
  readonly settings: Settings;
  readonly engine: PeerEngine | undefined;
  /** An empty folder. */
  readonly dir: string;
}

export interface Contest {
  readonly query: string;
  readonly backend: string;
  readonly rounds: readonly RoundRun[];
  readonly peers: readonly PeerFigures[];
  readonly latency: LatencyFigures | undefined;
}

export interface PeerFigures {
  readonly backend: string;
  /** As many as there are rounds, each after one of them. */
  readonly runs: readonly PeerRun[];
}

export async function contest(options: ContestOptions): Promise<Contest> {
  const { query, backend, settings } = options;
  const ours = startOurs(options);
  const started: StartedPeer[] = [];
  try {
    for (const name of options.engine?.backendsFor(backend) ?? [])
      started.push({ backend: name, peer: await startPeer(options, name), runs: [] });
    let peers: readonly StartedPeer[] = started;
    const rounds: RoundRun[] = [];
    for (let round = -WARM_UPS; round < settings.repeat; round++) {
      const answer = JSON.parse(await ours.ask('round')) as RoundRun; // run-query.ts wrote it
      if (round >= 0) rounds.push(answer);
      for (const { peer, runs } of peers) {
        const run = await peer.run(query);
        runs.push(run);
        checkCount(options, answer, run);
      }
      if (round === 1 - WARM_UPS) peers = inTheRunning(peers);
      if (round < 0) for (const { runs } of peers) runs.length = 0;
    }
    const { rate, parallelism } = settings;
    const hasLatency = rate !== undefined && parallelism === 1 && QUERIES[query]!.waits !== true;
    const latency = hasLatency
      ? (JSON.parse(await ours.ask('latency')) as LatencyFigures)
      : undefined; // as above
    return { query, backend, rounds, peers, latency };
  } finally {
    await Promise.all([ours.close(), ...started.map(({ peer }) => peer.close())]);
  }
}

interface StartedPeer extends PeerFigures {
  readonly peer: Peer;
  readonly runs: PeerRun[];
}

function inTheRunning(peers: readonly StartedPeer[]): readonly StartedPeer[] {
  const cpuSeconds = ({ runs }: StartedPeer): number => runs.at(-1)!.cpuSeconds;
  const best = Math.min(...peers.map(cpuSeconds));
  return peers.filter((peer) => cpuSeconds(peer) <= TOO_SLOW * best);
}

function startOurs({
  query,
  backend,
  eventFile,
  withLoop,
  settings,
  dir,
}: ContestOptions): LineProcess {
  const { parallelism, latencyMs, rate, managedBytes } = settings;
  const forst: Readonly<Record<string, JsonValue>> = {
    'state.backend.type': backend,
    'taskmanager.memory.managed.size': String(managedBytes),
  };
  const request: QueryRequest = {
    query,
    eventFile,
    parallelism,
    withLoop,
    dir,
    latencyMs,
    config: { ...(backend === 'hashmap' ? {} : forst), ...settings.config },
    ...(rate === undefined ? {} : { rate }),
  };
  const script = fileURLToPath(new URL('run-query.ts', import.meta.url));
  return new LineProcess(query, process.execPath, [
    ...V8_OPTIONS,
    '--expose-gc',
    script,
    JSON.stringify(request),
  ]);
}

async function startPeer(
  { eventFile, settings, engine, dir }: ContestOptions,
  backend: string,
): Promise<Peer> {
  const own = join(dir, backend);
  await mkdir(own);
  const { parallelism, managedBytes, peerConfig } = settings;
  return engine!.start({
    eventFile,
    parallelism,
    backend,
    managedBytes,
    dir: own,
    config: peerConfig,
  });
}

/** With one subtask the order of events is fixed, and so is how many results there are; q12's depend on the clock. */
function checkCount(
  { query, settings }: ContestOptions,
  { engine }: RoundRun,
  { results }: PeerRun,
): void {
  if (settings.parallelism !== 1 || query === 'q12' || QUERIES[query]!.sink !== undefined) return;
  if (engine.results !== results)
    throw new RangeError(`${query} has ${engine.results} results here and ${results} elsewhere`);
}
