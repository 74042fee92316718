/** A keyed exchange of Nexmark bids between two threads, through the engine. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const ROUNDS = 3;

/** Bids per second, the median of three runs; start-up of the threads included. */
export async function runExchange(records: number): Promise<number> {
  const script = fileURLToPath(new URL('exchange-main.ts', import.meta.url));
  const rates = Array.from({ length: ROUNDS }, () => {
    const run = spawnSync(process.execPath, [script, String(records)], { encoding: 'utf8' });
    if (run.status !== 0) throw new RangeError(`the exchange job failed: ${run.stderr}`);
    return Number(run.stdout.trim());
  });
  return rates.toSorted((a, b) => a - b)[1]!;
}
