/**
 * `millrace compactor`: a stateless process that does the compactions of jobs with `state.backend.forst.compaction.mode: remote`. Any
 * number may serve one store; each may be killed at any moment.
 */
import { realEnvironment, realWorld } from '../base/real-world.ts';
import type { JsonValue } from '../base/json.ts';
import { Compactor } from '../lsm/compaction/job-board.ts';
import { STATE_PREFIX_LENGTHS } from '../state/forst/state-key.ts';
import { openObjectStore } from '../storage/open-store.ts';

export interface CompactorCommand {
  /** Where the jobs keep their checkpoints: their `execution.checkpointing.dir`. */
  readonly dir: string;
  /** Options by Flink's keys, such as `s3.endpoint`. */
  readonly config: Readonly<Record<string, JsonValue>>;
  readonly signal: AbortSignal;
}

/** Serves until the signal is aborted. */
export async function runCompactor({ dir, config, signal }: CompactorCommand): Promise<void> {
  const world = realWorld();
  const store = openObjectStore(dir, { config, environment: realEnvironment(), world });
  const compactor = new Compactor({
    store,
    world,
    name: world.ids.next(),
    prefixLengths: STATE_PREFIX_LENGTHS,
    yieldToLoop: () => new Promise((resolve) => world.timers.soon(resolve)),
    done: (folder, { tables }) => world.print(`${folder}: ${tables.length} tables`),
    failed: (folder, error) =>
      world.logger.log('error', `${folder} could not be compacted`, { reason: String(error) }),
  });
  try {
    await compactor.serve(signal);
  } finally {
    await store.close();
  }
}
