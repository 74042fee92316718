/** Another engine over the same event file: a command that README.md beside this describes. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export interface PeerRun {
  readonly query: string;
  readonly events: number;
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly peakRssBytes: number;
}

export interface PeerRequest {
  readonly query: string;
  readonly eventFile: string;
  readonly parallelism: number;
  readonly runs: number;
  readonly backend: string;
}

/** State that is not on the heap is compared with the best that the peer has for it. */
const BACKENDS_OF: Readonly<Record<string, readonly string[]>> = {
  hashmap: ['hashmap'],
  forst: ['rocksdb', 'forst'],
};

/** The run with most events a CPU second. */
export function runPeer(peer: string, request: PeerRequest): PeerRun {
  const runs = (BACKENDS_OF[request.backend] ?? [request.backend]).map((backend) =>
    runOne(peer, { ...request, backend }),
  );
  return runs.reduce((a, b) => (a.events / a.cpuSeconds >= b.events / b.cpuSeconds ? a : b));
}

function runOne(
  peer: string,
  { query, eventFile, parallelism, runs, backend }: PeerRequest,
): PeerRun {
  const script = fileURLToPath(new URL(`../peers/${peer}/run.ts`, import.meta.url));
  const args = ['--queries', query, '--events-file', eventFile, '--backend', backend];
  const counts = ['--parallelism', String(parallelism), '--runs', String(runs)];
  const run = spawnSync(process.execPath, [script, ...args, ...counts, '--json'], {
    encoding: 'utf8',
  });
  if (run.status !== 0) throw new RangeError(`${peer} failed at ${query}: ${run.stderr}`);
  const [first] = JSON.parse(run.stdout.trim().split('\n').at(-1)!) as readonly PeerRun[]; // the shape README.md states
  if (first?.query !== query) throw new RangeError(`${peer} gave no figures for ${query}`);
  return first;
}
