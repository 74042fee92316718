/**
 * What a forst backend tells of itself, under the names of Flink's native metrics where there is one (docs/reference/forst.md has the table).
 * Everything is read when somebody asks; nothing is counted per record.
 */
import type { LsmTree } from '../../lsm/lsm-tree.ts';
import type { TreeCompactor } from '../../lsm/compaction/tree-compactor.ts';
import type { DiskCache } from '../../lsm/cache/disk-cache.ts';
import type { CachingBlockSource } from '../../lsm/cache/caching-block-source.ts';
import type { MeteringStore } from '../../storage/metering-store.ts';
import type { LocalPrimary } from './local-primary.ts';
import type { GaugeGroup } from '../keyed-state-backend.ts';

export type Gauges = Readonly<Record<string, () => number>>;

export interface MeasuredTree {
  readonly tree: LsmTree;
  readonly compactor: TreeCompactor;
}

/** Of one backend's trees. */
export function treeGauges(trees: readonly MeasuredTree[]): Gauges {
  const sum =
    (read: (measured: MeasuredTree) => number): (() => number) =>
    () =>
      trees.reduce((total, measured) => total + read(measured), 0);
  const tables = ({ tree }: MeasuredTree) => tree.version.runs.flatMap((run) => run.tables);
  return {
    'estimate-num-keys': sum(
      (measured) =>
        measured.tree.unflushedEntries +
        tables(measured).reduce((total, { entries, deletes }) => total + entries - deletes, 0),
    ),
    'live-sst-files-size': sum((measured) =>
      tables(measured).reduce((total, { length }) => total + length, 0),
    ),
    'num-live-sst-files': sum((measured) => tables(measured).length),
    'num-files-at-level0': sum(
      ({ tree }) => tree.version.runs.filter(({ level }) => level === 0).length,
    ),
    'cur-size-all-mem-tables': sum(({ tree }) => tree.unflushedBytes),
    'num-immutable-mem-table': sum(({ tree }) => tree.sealedMemtables),
    'estimate-table-readers-mem': sum(({ tree }) => tree.bytesInMemory),
    'num-flushes': sum(({ tree }) => tree.flushes),
    'flush-write-bytes': sum(({ tree }) => tree.flushedBytes),
    'num-running-compactions': sum(({ compactor }) => (compactor.running === undefined ? 0 : 1)),
    'num-compactions': sum(({ compactor }) => compactor.jobs),
    'compaction-read-bytes': sum(({ compactor }) => compactor.bytesRead),
    'compaction-write-bytes': sum(({ compactor }) => compactor.bytesWritten),
    'background-errors': sum(({ compactor }) => compactor.failures),
    'is-write-stopped': sum(({ compactor }) => (compactor.stalled ? 1 : 0)),
  };
}

/** Of what the backends of a worker share. */
export function workerGauges(
  blocks: CachingBlockSource,
  disk: DiskCache | undefined,
  store: MeteringStore,
): Gauges {
  const { metrics } = blocks;
  const cached: Gauges = {
    'block-cache-usage': () => blocks.bytes,
    'block-cache-hit': () => metrics.memoryHits,
    'block-cache-miss': () => metrics.diskHits + metrics.misses,
    'num-corrupt-blocks': () => metrics.corrupt,
    'store.num-get': () => store.usage.requests.get,
    'store.num-put': () => store.usage.requests.put,
    'store.num-delete': () => store.usage.requests.delete,
    'store.num-list': () => store.usage.requests.list,
    'store.num-failures': () => store.usage.failures,
    'store.bytes-read': () => store.usage.bytesRead,
    'store.bytes-written': () => store.usage.bytesWritten,
    'store.waited-ms': () => store.usage.waitedMs,
  };
  if (disk === undefined) return cached;
  return {
    ...cached,
    'fileCache.usedBytes': () => disk.bytes,
    'fileCache.hit': () => metrics.diskHits,
    'fileCache.miss': () => metrics.misses,
    'fileCache.num-corrupt-blocks': () => disk.corrupt,
    'fileCache.num-writes-skipped': () => disk.skipped,
    'fileCache.is-off': () => (disk.isOff ? 1 : 0),
  };
}

/** Of working files on local disk. */
export function localGauges(primary: LocalPrimary | undefined): Gauges {
  if (primary === undefined) return {};
  return {
    'local.usedBytes': () => primary.usage.bytes,
    'local.bytes-not-stored': () => primary.usage.bytesNotStored,
  };
}

export function registerGauges(group: GaugeGroup, gauges: Gauges): void {
  for (const [name, read] of Object.entries(gauges)) group.gauge(`forst.${name}`, read);
}
