/**
 * How long checkpoints take while a sink is slower than everything before it, from the trigger to the record in the store.
 *
 *   source =by key=> process =by key=> process -> sink, which takes 100 ms for each batch
 *
 * The same job with aligned checkpoints, unaligned ones, and those that give alignment 200 ms; and with a sink that is not slow. Durations are
 * those that the checkpoint records say. The sink's current write is waited for in all of them: a sink prepares its commit for a checkpoint.
 * Checkpoints are kept in a local folder. Not measured: networks, object storage.
 */
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { jobsOf } from '../src/cli/checkpoint-location.ts';
import { openStoreAt } from '../src/cli/fork-origin.ts';
import { decodeRecord } from '../src/state/checkpoint-record.ts';
import type { UnalignedJob } from './unaligned-main.ts';

const SINK_MS = 100;
const TIMEOUT_MS = 200;
const INTERVAL_MS = 100;
/** The first ones are taken before the channels are full. */
const WARM_UP = 2;

interface Case {
  readonly name: string;
  readonly sinkMs: number;
  readonly config: Readonly<Record<string, string | number | boolean>>;
}

const UNALIGNED = { 'execution.checkpointing.unaligned.enabled': true };
const CASES: readonly Case[] = [
  { name: 'calm', sinkMs: 0, config: {} },
  { name: 'aligned', sinkMs: SINK_MS, config: {} },
  { name: 'unaligned', sinkMs: SINK_MS, config: UNALIGNED },
  {
    name: 'timeout',
    sinkMs: SINK_MS,
    config: { ...UNALIGNED, 'execution.checkpointing.aligned-checkpoint-timeout': TIMEOUT_MS },
  },
];

interface Durations {
  readonly medianMs: number;
  readonly elements: number;
}

async function measure({ name, sinkMs, config }: Case, checkpoints: number): Promise<Durations> {
  const dir = await mkdtemp(`${tmpdir()}/millrace-bench-`);
  try {
    const job: UnalignedJob = {
      sinkMs,
      checkpoints: checkpoints + WARM_UP,
      config: {
        'parallelism.default': 2,
        'taskmanager.numberOfTaskSlots': 1,
        'execution.checkpointing.interval': INTERVAL_MS,
        'execution.checkpointing.dir': dir,
        'execution.checkpointing.num-retained': checkpoints + WARM_UP + 10,
        ...config,
      },
    };
    const script = fileURLToPath(new URL('unaligned-main.ts', import.meta.url));
    const run = spawnSync(process.execPath, [script, JSON.stringify(job)], { encoding: 'utf8' });
    if (run.status !== 0) throw new RangeError(`the job "${name}" failed: ${run.stderr}`);
    return await durations(dir, checkpoints);
  } finally {
    await rm(dir, { recursive: true });
  }
}

/** Of all checkpoints but the first ones, and the last, for which the input had ended. */
async function durations(dir: string, checkpoints: number): Promise<Durations> {
  const store = openStoreAt(dir, {});
  try {
    const [job] = await jobsOf(store);
    const taken: number[] = [];
    let elements = 0;
    for (const { key } of job!.checkpoints.slice(WARM_UP, WARM_UP + checkpoints)) {
      const record = decodeRecord(await store.get(key), key);
      taken.push(record.completedAtMs - record.triggeredAtMs);
      for (const { channels } of record.vertices.flatMap(({ subtasks }) => subtasks))
        elements += channels?.elements ?? 0;
    }
    const medianMs = taken.toSorted((a, b) => a - b)[Math.floor(taken.length / 2)]!;
    return { medianMs, elements: elements / taken.length };
  } finally {
    await store.close();
  }
}

export async function run({
  quick,
}: {
  readonly quick: boolean;
}): Promise<Readonly<Record<string, number>>> {
  const checkpoints = quick ? 3 : 15;
  const found = new Map<string, Durations>();
  for (const one of CASES) found.set(one.name, await measure(one, checkpoints));
  const msOf = (name: string): number => found.get(name)!.medianMs;
  return {
    calm_checkpoint_ms: msOf('calm'),
    aligned_checkpoint_ms: msOf('aligned'),
    unaligned_checkpoint_ms: msOf('unaligned'),
    timeout_200ms_checkpoint_ms: msOf('timeout'),
    unaligned_batches_in_flight: found.get('unaligned')!.elements,
    aligned_vs_unaligned: msOf('aligned') / msOf('unaligned'),
  };
}
