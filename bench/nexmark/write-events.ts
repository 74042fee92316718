/** `node bench/nexmark/write-events.ts --events N --seed S --out F`: writes an event file, as README.md beside this describes it. */
import { parseArgs } from 'node:util';
import { writeEventFile } from './event-file.ts';
import { NEXMARK_DEFAULTS } from './generator.ts';

const { values } = parseArgs({
  options: {
    events: { type: 'string', default: '1000000' },
    seed: { type: 'string', default: String(NEXMARK_DEFAULTS.seed) },
    'events-per-second': { type: 'string', default: String(NEXMARK_DEFAULTS.eventsPerSecond) },
    out: { type: 'string' },
  },
});
if (values.out === undefined) {
  console.error(
    'usage: node bench/nexmark/write-events.ts --out F [--events N] [--seed S] [--events-per-second R]',
  );
  process.exitCode = 2;
} else {
  await writeEventFile(values.out, {
    events: Number(values.events),
    seed: Number(values.seed),
    eventsPerSecond: Number(values['events-per-second']),
  });
}
