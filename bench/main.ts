/**
 * `npm run bench -- <name> [--quick] [--json]`: runs one benchmark and prints its figures. Every figure is a ratio against a
 * baseline of the same run, or carries its unit in its name. With `--json` the last line is one JSON object.
 */
import { parseArgs } from 'node:util';

interface Bench {
  run(options: { quick: boolean }): Promise<Readonly<Record<string, number>>>;
}

const BENCHES: Readonly<Record<string, { readonly about: string; load(): Promise<Bench> }>> = {
  types: {
    about: 'row and key codecs against JSON',
    load: () => import('./types.ts'),
  },
  runtime: { about: 'the engine against hand-written loops', load: () => import('./runtime.ts') },
};

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      quick: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
  });
  const bench = BENCHES[positionals[0] ?? ''];
  if (bench === undefined) {
    console.error('usage: npm run bench -- <name> [--quick] [--json]');
    for (const [name, { about }] of Object.entries(BENCHES))
      console.error(`  ${name.padEnd(12)}${about}`);
    process.exitCode = 2;
    return;
  }
  const figures = await (await bench.load()).run({ quick: values.quick });
  const rounded = Object.fromEntries(
    Object.entries(figures).map(([name, value]) => [name, Number(value.toPrecision(4))]),
  );
  for (const [name, value] of Object.entries(rounded)) console.log(`${name.padEnd(32)}${value}`);
  if (values.json) console.log(JSON.stringify(rounded));
}

await main();
