/**
 * What a request to S3 costs this process: CPU, and wall time with sixteen under way, against a real server on this machine.
 *
 * The baseline is undici alone: one signature sent again and again, the answer read and given out unlooked at. Does not measure
 * networks, nor how fast S3 is: the server runs on the same cores.
 */
import { Pool } from 'undici';
import { isMissing } from '../scripts/services/service.ts';
import { startS3 } from '../scripts/services/s3.ts';
import type { S3Options } from '../src/storage/s3/s3-client.ts';
import { S3Store } from '../src/storage/s3/s3-store.ts';
import { SigV4Signer } from '../src/storage/s3/sigv4.ts';

const AT_ONCE = 16;
const ROUNDS = 3;
const SIZES = [
  { name: '4k', bytes: 4 << 10, gets: 3000, puts: 600 },
  { name: '16k', bytes: 16 << 10, gets: 3000, puts: 600 },
  { name: '1m', bytes: 1 << 20, gets: 200, puts: 60 },
] as const;

interface Cost {
  readonly cpuMicros: number;
  readonly wallMicros: number;
}

/** Per request. */
async function costOf(requests: number, request: () => Promise<unknown>): Promise<Cost> {
  let begun = 0;
  const work = async (): Promise<void> => {
    while (begun++ < requests) await request();
  };
  const start = process.hrtime.bigint();
  const startCpu = process.cpuUsage();
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  const { user, system } = process.cpuUsage(startCpu);
  return {
    cpuMicros: (user + system) / requests,
    wallMicros: Number(process.hrtime.bigint() - start) / 1000 / requests,
  };
}

const median = (costs: readonly Cost[], of: (cost: Cost) => number): number =>
  costs.map(of).toSorted((a, b) => a - b)[costs.length >> 1]!;

/** A get of one object by undici alone. */
function bareGet(
  options: S3Options,
  key: string,
): { get(): Promise<void>; close(): Promise<void> } {
  const { host } = new URL(options.endpoint);
  const pool = new Pool(options.endpoint, { connections: 64, pipelining: 1 });
  const path = `/${options.bucket}/${key}`;
  const headers = new SigV4Signer(options.credentials, options.region).sign(
    { method: 'GET', host, path, query: '', headers: {} },
    options.wallMs(),
  );
  return {
    get: async () => {
      const answer = await pool.request({ method: 'GET', path, headers });
      const bytes = await answer.body.arrayBuffer();
      if (answer.statusCode !== 200) throw new RangeError(Buffer.from(bytes).toString());
    },
    close: () => pool.close(),
  };
}

function signMicros(options: S3Options): number {
  const signer = new SigV4Signer(options.credentials, options.region);
  const request = { method: 'GET', host: 'host', path: '/bucket/key', query: '', headers: {} };
  const signatures = 20_000;
  for (let i = 0; i < signatures; i++) signer.sign(request, i);
  const start = process.cpuUsage();
  for (let i = 0; i < signatures; i++) signer.sign(request, i);
  const { user, system } = process.cpuUsage(start);
  return (user + system) / signatures;
}

async function costsOfSize(
  options: S3Options,
  { name, bytes, gets, puts }: (typeof SIZES)[number],
  share: number,
): Promise<Readonly<Record<string, number>>> {
  const store = new S3Store(options);
  const body = Buffer.alloc(bytes, 'x');
  const key = `get-${name}`;
  await store.put(key, body);
  const bare = bareGet(options, key);
  const costs = { get: [] as Cost[], bare: [] as Cost[], put: [] as Cost[] };
  let written = 0;
  await costOf(gets * share, () => store.get(key));
  for (let round = 0; round < ROUNDS; round++) {
    costs.get.push(await costOf(gets * share, () => store.get(key)));
    costs.bare.push(await costOf(gets * share, () => bare.get()));
    costs.put.push(await costOf(puts * share, () => store.put(`put-${written++}`, body)));
  }
  await bare.close();
  await store.close();
  const cpu = (cost: Cost): number => cost.cpuMicros;
  const wall = (cost: Cost): number => cost.wallMicros;
  return {
    [`get_${name}_cpu_us`]: median(costs.get, cpu),
    [`get_${name}_wall_us`]: median(costs.get, wall),
    [`get_${name}_cpu_vs_undici`]: median(costs.get, cpu) / median(costs.bare, cpu),
    [`put_${name}_cpu_us`]: median(costs.put, cpu),
    [`put_${name}_wall_us`]: median(costs.put, wall),
  };
}

export async function run({
  quick,
}: {
  readonly quick: boolean;
}): Promise<Readonly<Record<string, number>>> {
  const service = await startS3();
  if (isMissing(service)) throw new RangeError(service.missing);
  try {
    const options = await service.bucket('bench');
    const figures: Record<string, number> = { sign_cpu_us: signMicros(options) };
    for (const size of SIZES)
      Object.assign(figures, await costsOfSize(options, size, quick ? 0.5 : 2));
    return figures;
  } finally {
    await service.stop();
  }
}
