/**
 * A job that runs until now, started cold: from the start of its process to its first record, with so much state on an object store that answers
 * each request after 23 ms. Nothing of the state is on this machine's disk cache or in memory; the first record reads its key from the store.
 *
 * The store is a folder with a delay before each request. The source is a log in the process, so that connecting to a broker is not in the
 * figure; `--broker` shows beside it how long the Kafka client takes to connect and to learn a topic's partitions.
 */
import { spawn } from 'node:child_process';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { parseArgs } from 'node:util';
import { realWorld } from '../src/base/real-world.ts';
import { memorySizeBytes } from '../src/base/memory-size.ts';

export const USAGE =
  '  --size BYTES     of the state (1 gb; quick 50 mb)\n  --records N      that each start finds, of keys anywhere in the state; they are read in one go (100)\n  --latency-ms MS  of each request (23)\n  --starts N       cold starts, of which the median counts (5; quick 3)\n  --broker ADDR    of a Kafka broker, host:port\n  --dir FOLDER     keeps the state there and uses it again';

const MAIN = `${import.meta.dirname}/../src/cli/main.ts`;
const JOB = `${import.meta.dirname}/coldstart-job.ts`;
/** Of a value. */
const VALUE_BYTES = 1000;
interface Timing {
  readonly loadedMs: number;
  readonly firstMs: number;
  readonly requests: number;
  readonly cpuMs: number;
  readonly endedMs: number;
}

export async function run({
  quick,
  args,
}: {
  readonly quick: boolean;
  readonly args: readonly string[];
}): Promise<Readonly<Record<string, number>>> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      size: { type: 'string', default: quick ? '50 mb' : '1 gb' },
      'latency-ms': { type: 'string', default: '23' },
      starts: { type: 'string', default: quick ? '3' : '5' },
      records: { type: 'string', default: '100' },
      broker: { type: 'string' },
      dir: { type: 'string' },
    },
  });
  const bytes = memorySizeBytes(values.size);
  const dir = values.dir ?? (await mkdtemp(`${tmpdir()}/millrace-coldstart-`));
  try {
    const broker =
      values.broker === undefined ? {} : { connecting_to_broker_ms: await connect(values.broker) };
    const figures = await measure(dir, {
      keys: Math.ceil(bytes / VALUE_BYTES),
      latencyMs: Number(values['latency-ms']),
      starts: Number(values.starts),
      records: values.records,
    });
    return { ...figures, ...broker };
  } finally {
    if (values.dir === undefined) await rm(dir, { recursive: true });
  }
}

interface Setting {
  readonly keys: number;
  readonly latencyMs: number;
  readonly starts: number;
  readonly records: string;
}

async function measure(
  dir: string,
  { keys, latencyMs, starts, records }: Setting,
): Promise<Readonly<Record<string, number>>> {
  const common = ['--dir', dir, '--keys', String(keys), '--value', String(VALUE_BYTES)];
  if ((await readdir(dir)).length === 0) {
    console.log(`filling the state: ${keys} keys of ${VALUE_BYTES} bytes`);
    await start([...common, '--more', String(keys)]);
  }
  const runs: Omit<Timing, 'endedMs'>[] = [];
  for (let i = 1; i <= starts; i++) {
    const startedMs = Date.now();
    const more = ['--more', records, '--latency', String(latencyMs)];
    const timing = await start([...common, ...more]);
    runs.push({
      firstMs: timing.firstMs - startedMs,
      loadedMs: timing.loadedMs - startedMs,
      requests: timing.requests,
      cpuMs: timing.cpuMs,
    });
  }
  const median = (of: (run: (typeof runs)[number]) => number): number =>
    runs.map(of).toSorted((a, b) => a - b)[runs.length >> 1]!;
  return {
    state_mb: (await sizeOf(dir)) / 1e6,
    start_to_first_record_ms: median(({ firstMs }) => firstMs),
    worst_start_to_first_record_ms: Math.max(...runs.map(({ firstMs }) => firstMs)),
    of_which_process_and_modules_ms: median(({ loadedMs }) => loadedMs),
    cpu_to_first_record_ms: median(({ cpuMs }) => cpuMs),
    requests_before_first_record: median(({ requests }) => requests),
  };
}

/** What a Kafka source does before it can fetch: load the client, connect, learn the topics. */
async function connect(broker: string): Promise<number> {
  const startedMs = performance.now();
  const { kafkaCluster } = await import('../connectors/kafka/cluster.ts');
  const transport = kafkaCluster({ bootstrapServers: broker }).open(realWorld());
  await transport.metadata(null);
  const ms = performance.now() - startedMs;
  await transport.close();
  return ms;
}

async function sizeOf(dir: string): Promise<number> {
  let bytes = 0;
  for (const entry of await readdir(dir, { recursive: true, withFileTypes: true }))
    if (entry.isFile()) bytes += (await stat(`${entry.parentPath}/${entry.name}`)).size;
  return bytes;
}

function start(args: readonly string[]): Promise<Timing> {
  const job = spawn(process.execPath, [MAIN, 'run', JOB, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  job.stdout.on('data', (chunk: Buffer) => (output += String(chunk)));
  return new Promise((resolve, reject) => {
    job.once('exit', (code) => {
      if (code === 0) resolve(JSON.parse(output.trim().split('\n').at(-1)!) as Timing); // printed by coldstart-job.ts
      else reject(new Error(`the job ended with ${code}`));
    });
  });
}
