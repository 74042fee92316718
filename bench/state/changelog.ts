/** A checkpoint after many changes, with a changelog and without, at the same pace; and what the changelog costs. */
import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import type { ObjectStore } from '../../src/storage/object-store.ts';
import { checkpoint, openBackend, PAYLOAD, recordState } from './backend.ts';

const SIGNAL = new AbortController().signal;
/** Of the option. */
const TAIL_BYTES = 5_242_880;
/** Changes between two pauses: 100,000 a second at most. */
const BATCH = 1000;
const PAUSE_MS = 10;
/** More than the tail has room for. */
const KEYS_AGAIN = 20_000;

interface Measured {
  readonly checkpointMs: number;
  readonly cpuSeconds: number;
}

/** `changes` changes of `keys` keys in turn, then a barrier. */
async function measure(
  store: ObjectStore,
  { changes, keys }: { readonly changes: number; readonly keys: number },
  tailBytesMax: number | undefined,
): Promise<Measured> {
  const { keyed, close } = await openBackend(store, { index: 0, parallelism: 1, tailBytesMax });
  const state = recordState(keyed);
  const residency = keyed.residency!; // forst has one
  const before = process.cpuUsage();
  for (let i = 0; i < changes; i++) {
    keyed.setCurrentKey(i % keys);
    state.value = { count: i, payload: PAYLOAD };
    if (i % BATCH < BATCH - 1) continue;
    residency.trim();
    if (residency.overloaded) await residency.load(SIGNAL);
    await delay(PAUSE_MS);
  }
  const started = performance.now();
  await checkpoint(keyed, store, 1);
  const checkpointMs = performance.now() - started;
  const { user, system } = process.cpuUsage(before);
  await close();
  return { checkpointMs, cpuSeconds: (user + system) / 1e6 };
}

export async function changelogFigures(
  store: ObjectStore,
  changes: number,
): Promise<Record<string, number>> {
  const amount = { changes, keys: changes };
  const without = await measure(store, amount, undefined);
  const { checkpointMs, cpuSeconds } = await measure(store, amount, TAIL_BYTES);
  // Each key comes again just after it has been written: every change is one more write.
  const again = { changes, keys: KEYS_AGAIN };
  const [rare, often] = [
    await measure(store, again, undefined),
    await measure(store, again, TAIL_BYTES),
  ];
  return {
    changelog_checkpoint: checkpointMs / without.checkpointMs,
    changelog_checkpoint_ms: checkpointMs,
    no_changelog_checkpoint_ms: without.checkpointMs,
    changelog_cpu: cpuSeconds / without.cpuSeconds,
    changelog_worst_cpu: often.cpuSeconds / rare.cpuSeconds,
  };
}
