/**
 * `npm run bench -- <name> [--quick] [--json] [options of its own]`: runs one benchmark and prints its figures. Every figure is a ratio against a
 * baseline of the same run, or carries its unit in its name. With `--json` the last line is one JSON object.
 */
interface BenchRequest {
  readonly quick: boolean;
  /** What the command line holds besides, for benchmarks with options of their own. */
  readonly args: readonly string[];
}

interface Bench {
  run(request: BenchRequest): Promise<Readonly<Record<string, number>>>;
  /** Its own options, if it takes any. */
  readonly USAGE?: string;
}

const BENCHES: Readonly<Record<string, { readonly about: string; load(): Promise<Bench> }>> = {
  types: {
    about: 'row and key codecs against JSON',
    load: () => import('./types.ts'),
  },
  runtime: { about: 'the engine against hand-written loops', load: () => import('./runtime.ts') },
  kafka: {
    about: 'Kafka to Kafka exactly-once against the client alone; needs Java and Maven',
    load: () => import('./kafka.ts'),
  },
  postgres: {
    about: 'rows into and out of PostgreSQL against the same client by hand; needs a PostgreSQL',
    load: () => import('./postgres.ts'),
  },
  s3: {
    about: 'CPU and time of a request to S3, against a real server on this machine',
    load: () => import('./s3.ts'),
  },
  state: {
    about: 'state on object storage against RocksDB, and as it grows; --help for options',
    load: () => import('./state.ts'),
  },
  aec: {
    about: 'asynchronous state: the cost of the controller, and how much latency it hides',
    load: () => import('./aec.ts'),
  },
  unaligned: {
    about: 'checkpoint duration under backpressure: aligned against unaligned',
    load: () => import('./unaligned.ts'),
  },
  cache: {
    about: 'requests, bytes and dollars that the disk cache saves; --help for options',
    load: () => import('./cache.ts'),
  },
  timers: {
    about: 'timers of the forst backend in memory and beyond: CPU and pauses; --help for options',
    load: () => import('./timers.ts'),
  },
  coldstart: {
    about: 'a job that runs until now: from process start to first record; --help for options',
    load: () => import('./coldstart.ts'),
  },
  nexmark: {
    about: 'the Nexmark queries against hand-written loops and other engines; --help for options',
    load: () => import('./nexmark/bench.ts'),
  },
};

async function main([name = '', ...given]: readonly string[]): Promise<void> {
  const listed = BENCHES[name];
  if (listed === undefined) {
    console.error('usage: npm run bench -- <name> [--quick] [--json]');
    for (const [known, { about }] of Object.entries(BENCHES))
      console.error(`  ${known.padEnd(12)}${about}`);
    process.exitCode = 2;
    return;
  }
  const bench = await listed.load();
  const args = given.filter((arg) => arg !== '--quick' && arg !== '--json');
  if (args.includes('--help') || (args.length > 0 && bench.USAGE === undefined)) {
    console.error(`usage: npm run bench -- ${name} [--quick] [--json]\n${bench.USAGE ?? ''}`);
    process.exitCode = args.includes('--help') ? 0 : 2;
    return;
  }
  const figures = await bench.run({ quick: given.includes('--quick'), args });
  const rounded = Object.fromEntries(
    Object.entries(figures).map(([figure, value]) => [figure, Number(value.toPrecision(4))]),
  );
  for (const [figure, value] of Object.entries(rounded))
    console.log(`${figure.padEnd(32)}${value}`);
  if (given.includes('--json')) console.log(JSON.stringify(rounded));
}

await main(process.argv.slice(2));
