/**
 * State on object storage: the tree and the forst backend against RocksDB, and checkpoints, restores and rescaling over states of different
 * sizes on a store that answers after 23 ms.
 *
 * Not measured here: the network and the CPU of a real S3 client (`bench -- s3`), user code, the exchange. RocksDB runs through a Node
 * binding, whose calls are part of its figures, as they would be part of a job's.
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { parseArgs } from 'node:util';
import {
  checkpoints,
  firstRead,
  fullCopy,
  hotUpdates,
  hotUpdatesRocksDb,
  median,
} from './state/backend.ts';
import { run as cacheFigures } from './cache.ts';
import { DelayedStore } from './delayed-store.ts';
import { changelogFigures } from './state/changelog.ts';
import { bulkState } from './state/bulk.ts';
import { benchRocksDb, benchTree } from './state/engine.ts';
import { benchMemory } from './state/memory.ts';
import { localStore } from './state/stores.ts';

export const USAGE = `  --entries N   keys of the engine comparison (10,000,000; quick 500,000)
  --small MB --large MB   states of the growth figures (100 and 10,000; quick 40 and 400); memory is measured over the large one
  --folder PATH where files go (a temporary folder): about 15 GB; quick 2 GB`;

const REMOTE_MS = 23;
const CHANGES = 50_000;
const ROUNDS = 5;
/** Of a key and its value in the tree. */
const ENTRY_BYTES = 85;

export async function run({
  quick,
  args,
}: {
  quick: boolean;
  args: readonly string[];
}): Promise<Readonly<Record<string, number>>> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      entries: { type: 'string', default: quick ? '500000' : '10000000' },
      small: { type: 'string', default: quick ? '40' : '100' },
      large: { type: 'string', default: quick ? '400' : '10000' },
      folder: { type: 'string', default: tmpdir() },
    },
  });
  const folder = await mkdtemp(`${values.folder}/millrace-bench-state-`);
  try {
    return {
      ...(await engine(folder, Number(values.entries), quick)),
      ...(await hot(`${folder}/hot`, quick)),
      ...(await changelog(`${folder}/changelog`, quick)),
      ...(await growth(folder, Number(values.small), Number(values.large), quick)),
      ...(await cacheFigures({ quick: true, args: quick ? [] : ['--records', '100000'] })),
    };
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** To standard error: a full run takes minutes. */
const stage = (what: string): void => console.error(`  ${what} ...`);

async function engine(
  folder: string,
  entries: number,
  quick: boolean,
): Promise<Record<string, number>> {
  const reads = quick ? 200_000 : 2_000_000;
  stage(`the tree, ${entries} keys`);
  const tree = await benchTree(folder, entries, reads);
  stage(`RocksDB, ${entries} keys`);
  const rocks = await benchRocksDb(folder, entries, reads);
  return {
    load_vs_rocksdb: tree.loadPerSecond / rocks.loadPerSecond,
    load_settled_vs_rocksdb: tree.settledPerSecond / rocks.settledPerSecond,
    load_cpu_vs_rocksdb: rocks.settledCpuSeconds / tree.settledCpuSeconds,
    load_per_s: tree.loadPerSecond,
    rocksdb_load_per_s: rocks.loadPerSecond,
    load_cpu_s: tree.settledCpuSeconds,
    rocksdb_load_cpu_s: rocks.settledCpuSeconds,
    warm_reads_vs_rocksdb: tree.warmReadsPerSecond / rocks.warmReadsPerSecond,
    warm_reads_per_s: tree.warmReadsPerSecond,
    cold_reads_vs_rocksdb: tree.coldReadsPerSecond / rocks.coldReadsPerSecond,
    cold_reads_per_s: tree.coldReadsPerSecond,
  };
}

async function hot(folder: string, quick: boolean): Promise<Record<string, number>> {
  const keys = quick ? 200_000 : 1_000_000;
  const updates = quick ? 1_000_000 : 4_000_000;
  stage('hot updates');
  await mkdir(folder);
  const ours = await hotUpdates(localStore(`${folder}/ours`), keys, updates);
  const theirs = await hotUpdatesRocksDb(`${folder}/rocks`, keys, updates / 8);
  await rm(folder, { recursive: true });
  return { hot_rmw_vs_rocksdb: ours / theirs, hot_rmw_per_s: ours, rocksdb_hot_rmw_per_s: theirs };
}

async function changelog(folder: string, quick: boolean): Promise<Record<string, number>> {
  const changes = quick ? 200_000 : 1_000_000;
  stage(`a checkpoint after ${changes} changes, with a changelog and without`);
  const figures = await changelogFigures(new DelayedStore(localStore(folder), REMOTE_MS), changes);
  await rm(folder, { recursive: true });
  return figures;
}

interface Sized {
  readonly checkpointMs: number;
  readonly pauseMs: number;
  readonly restoreMs: number;
  readonly rescaleMs: number;
  readonly fullCopyMs: number;
  readonly memory: Readonly<Record<string, number>>;
}

async function growth(
  folder: string,
  smallMb: number,
  largeMb: number,
  quick: boolean,
): Promise<Record<string, number>> {
  const small = await sized(`${folder}/small`, smallMb, 0);
  const large = await sized(`${folder}/large`, largeMb, quick ? 100_000 : 1_000_000);
  return {
    ...large.memory,
    checkpoint_growth: large.checkpointMs / small.checkpointMs,
    restore_growth: large.restoreMs / small.restoreMs,
    rescale_growth: large.rescaleMs / small.rescaleMs,
    full_copy_restore_growth: large.fullCopyMs / small.fullCopyMs,
    checkpoint_small_ms: small.checkpointMs,
    checkpoint_large_ms: large.checkpointMs,
    barrier_pause_ms: Math.max(small.pauseMs, large.pauseMs),
    restore_small_ms: small.restoreMs,
    restore_large_ms: large.restoreMs,
    rescale_small_ms: small.rescaleMs,
    rescale_large_ms: large.rescaleMs,
    full_copy_restore_large_ms: large.fullCopyMs,
  };
}

/** `records`: of the memory run; 0 for none. */
async function sized(folder: string, megabytes: number, records: number): Promise<Sized> {
  stage(`a state of ${megabytes} MB`);
  const local = localStore(`${folder}/store`);
  const keys = Math.floor((megabytes * 1e6) / ENTRY_BYTES);
  const { one, two } = await bulkState(local, keys);
  const remote = new DelayedStore(local, REMOTE_MS);
  const { durationMs, pauseMs } = await checkpoints(remote, {
    restore: one,
    keys,
    changes: CHANGES,
    rounds: ROUNDS,
  });
  const restores: number[] = [];
  const rescales: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    restores.push(await firstRead(remote, { restore: one, keys, parallelism: 1 }));
    rescales.push(await firstRead(remote, { restore: two, keys, parallelism: 4 }));
  }
  const copied = await fullCopy(remote, one);
  const state = { folder, restore: one, bytes: megabytes * 1e6, keys };
  if (records > 0) stage(`memory, ${records} records over it`);
  const memory = records === 0 ? {} : await benchMemory(state, records);
  await rm(folder, { recursive: true });
  return {
    memory,
    checkpointMs: durationMs,
    pauseMs,
    restoreMs: median(restores),
    rescaleMs: median(rescales),
    fullCopyMs: copied.ms,
  };
}
