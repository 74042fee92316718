/** A forst backend over a store in memory, for suites that know nothing of residency: whatever is stored can be read at once. */
import type { Timers } from '../base/world.ts';
import { copyOf } from '../base/bytes.ts';
import type { BlockSource } from '../lsm/block-source.ts';
import { openBlock } from '../lsm/block-trailer.ts';
import { internal } from '../base/errors.ts';
import { LsmTree } from '../lsm/lsm-tree.ts';
import { versionFromJson } from '../lsm/tree-version.ts';
import { StoreSnapshotReader } from '../state/checkpoint-storage.ts';
import { decodeManifest } from '../state/forst/manifest.ts';
import type { KeyedBackendParams } from '../state/keyed-state-backend.ts';
import type { KeyedStateHandle } from '../state/snapshot.ts';
import { t } from '../types/t.ts';
import { ForstStateBackend } from '../state/forst/forst-state-backend.ts';
import { ForstWorker } from '../state/forst/forst-worker.ts';
import { LocalPrimary } from '../state/forst/local-primary.ts';
import { UnnamedFiles } from '../state/forst/unnamed-files.ts';
import { PackedFiles } from '../state/forst/packed-files.ts';
import type { MemoryStore } from '../storage/memory-store.ts';
import { MemoryDisk } from './memory-disk.ts';

/** What was stored, for reads without waiting. */
const mirrors = new WeakMap<MemoryStore, Map<string, Uint8Array>>();

let incarnations = 0;

export function forstInMemory(
  store: MemoryStore,
  options: {
    readonly cacheBytes?: number;
    readonly memtableBytes?: number;
    readonly timersMost?: number;
    readonly tailBytesMax?: number;
    /** When the grace period of files that no snapshot named is over. Default never. */
    readonly graceTimers?: Pick<Timers, 'after'>;
    /** Working files are on local disk. */
    readonly local?: boolean;
  } = {},
): ForstStateBackend {
  const mirror = mirrors.get(store) ?? new Map<string, Uint8Array>();
  mirrors.set(store, mirror);
  const blocks = mirroredBlocks(mirror);
  const log = (message: string, error: unknown): void => {
    throw internal('COMPACTION_FAILED', `${message}: ${String(error)}`);
  };
  const primary =
    options.local === true
      ? new LocalPrimary({
          disk: new MemoryDisk(),
          remote: store,
          log,
          uploadsAtOnce: options.tailBytesMax !== undefined,
        })
      : undefined;
  const files = new PackedFiles({
    store: {
      putIfAbsent: async (key, bytes) => {
        mirror.set(key, copyOf(bytes));
        return (primary ?? store).putIfAbsent(key, bytes);
      },
    },
    timers: {
      after: (_delayMs, callback) => {
        let cancelled = false;
        void Promise.resolve().then(() => {
          if (!cancelled) callback();
        });
        return {
          cancel: () => {
            cancelled = true;
          },
        };
      },
    },
    jobId: 'job',
    incarnation: `i${++incarnations}`,
    // Some files are packed, some are not.
    packBelowBytes: 1024,
  });
  return new ForstStateBackend(
    new ForstWorker({
      store: primary ?? store,
      primary,
      blocks,
      files,
      cacheBytes: options.cacheBytes ?? 1 << 20,
      memtableBytes: options.memtableBytes ?? 4096,
      timersMost: options.timersMost,
      tailBytesMax: options.tailBytesMax,
      unnamed:
        options.graceTimers === undefined
          ? undefined
          : new UnnamedFiles({
              store: {
                delete: async (key) => {
                  mirror.delete(key);
                  await store.delete(key);
                },
              },
              timers: options.graceTimers,
              graceMs: 0,
            }),
      table: { blockBytes: 512 },
      opensTablesAtRestore: true,
      compaction: { level0RunsMax: 2, level1Bytes: 4096, fileBytes: 2048 },
      nowMs: () => 0,
      log,
    }),
  );
}

function mirroredBlocks(mirror: ReadonlyMap<string, Uint8Array>): BlockSource {
  const resident: BlockSource['resident'] = (file, block) => {
    const start = file.offset + block.offset;
    return openBlock(mirror.get(file.object)!.subarray(start, start + block.length), file);
  };
  return {
    resident,
    read: async (reads) => reads.map(({ file, block }) => resident(file, block)!),
    admitFile: () => false,
    admitBlocks: () => {},
    forget: () => {},
    hotBlocks: () => [],
    blocksOnDisk: () => [],
    close: async () => {},
  };
}

/** How many keys the trees of these snapshots hold. */
export async function liveEntries(
  store: MemoryStore,
  handles: readonly KeyedStateHandle[],
): Promise<number> {
  const blocks = mirroredBlocks(mirrors.get(store) ?? new Map());
  const reader = new StoreSnapshotReader(store);
  let entries = 0;
  for (const { data } of handles) {
    const manifest = decodeManifest(await reader.read(data));
    for (const json of [manifest.data, manifest.timers]) {
      const tree = new LsmTree({
        store,
        blocks,
        files: { write: () => Promise.reject(internal('READ_ONLY', 'nothing is written')) },
        yieldToLoop: async () => {},
        version: versionFromJson(json),
      });
      const scan = await tree.scanRange(new Uint8Array(0), undefined);
      for (;;) {
        const batch = await scan.next(1000);
        if (batch.length === 0) break;
        entries += batch.length;
      }
    }
  }
  return entries;
}

/** A backend over all key groups, with integers as keys and a clock that stands. */
export const keyedParamsIn = (
  store: MemoryStore,
  { operatorId = 'operator', attemptId = 'attempt', restore = [] }: KeyedParamsGiven = {},
): KeyedBackendParams => ({
  ...{ operatorId, attemptId, restore },
  keySchema: t.int32(),
  keyGroupRange: { start: 0, end: 127 },
  maxParallelism: 128,
  reader: new StoreSnapshotReader(store),
  wallMs: () => 0,
  yieldToLoop: async () => {},
  allowGenericTypes: false,
});

type KeyedParamsGiven = Partial<Pick<KeyedBackendParams, 'operatorId' | 'attemptId' | 'restore'>>;
