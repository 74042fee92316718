/**
 * A large state without the hours that writing it record by record would take: tables in key order, as many as there are keys for, at the
 * level that a state of this size ends in, then changes to some of the keys the usual way, so that the levels above are not empty.
 */
import { placedTable, createObject } from '../../src/lsm/table-files.ts';
import type { TableMeta } from '../../src/lsm/table-meta.ts';
import { TABLE_DEFAULTS, TableWriter } from '../../src/lsm/table-writer.ts';
import { versionToJson } from '../../src/lsm/tree-version.ts';
import { fingerprint } from '../../src/lsm/key-fingerprint.ts';
import { StoreSnapshotReader, StoreSnapshotWriter } from '../../src/state/checkpoint-storage.ts';
import { decodeManifest, encodeManifest, filesOf } from '../../src/state/forst/manifest.ts';
import { StateKeyWriter } from '../../src/state/forst/state-key.ts';
import { StateValues } from '../../src/state/forst/state-values.ts';
import type { KeyedStateHandle } from '../../src/state/snapshot.ts';
import type { ObjectStore } from '../../src/storage/object-store.ts';
import { keyCodec } from '../../src/types/key-codec.ts';
import { type KeyGroupRange, keyGroupRangeOf } from '../../src/types/key-group.ts';
import { hashKey, murmurHash } from '../../src/types/key-hash.ts';
import { t } from '../../src/types/t.ts';
import {
  checkpoint,
  MAX_PARALLELISM,
  openBackend,
  PAYLOAD,
  RECORD,
  recordState,
} from './backend.ts';
import { yieldToLoop } from './stores.ts';

const FILE_BYTES = 16 << 20;
const PIECE_BYTES = 1 << 20;
const LEVEL = 3;
const CHANGED = 50_000;
const CHANGE_ROUNDS = 3;

/** The same state as one subtask's checkpoint and as those of two. */
export interface BulkState {
  readonly one: readonly KeyedStateHandle[];
  readonly two: readonly KeyedStateHandle[];
}

export async function bulkState(store: ObjectStore, keys: number): Promise<BulkState> {
  const order = keysByGroup(keys);
  const ranges = [0, 1].map((index) => keyGroupRangeOf(index, 2, MAX_PARALLELISM));
  const halves: TableMeta[][] = [];
  const template = await emptyHandle(store);
  const number = decodeManifest(await new StoreSnapshotReader(store).read(template.data)).states[0]!
    .number;
  for (const range of ranges) halves.push(await writeTables(store, order, range, number));
  const all = keyGroupRangeOf(0, 1, MAX_PARALLELISM);
  const whole = await handleOf(store, template, { keyGroups: all, tables: halves.flat() });
  const parts = await Promise.all(
    ranges.map((keyGroups, i) => handleOf(store, template, { keyGroups, tables: halves[i]! })),
  );
  return { one: await changed(store, [whole], keys), two: await changed(store, parts, keys) };
}

interface SortedKeys {
  readonly keys: Uint32Array;
  /** Where the keys of each group begin. */
  readonly starts: Uint32Array;
}

const groupOf = (key: number): number => murmurHash(hashKey(key)) % MAX_PARALLELISM;

function keysByGroup(count: number): SortedKeys {
  const starts = new Uint32Array(MAX_PARALLELISM + 1);
  for (let key = 0; key < count; key++) starts[groupOf(key) + 1]!++;
  for (let group = 0; group < MAX_PARALLELISM; group++) starts[group + 1]! += starts[group]!;
  const next = starts.slice();
  const keys = new Uint32Array(count);
  for (let key = 0; key < count; key++) keys[next[groupOf(key)]!++] = key;
  return { keys, starts };
}

/** A checkpoint of a backend that holds nothing yet. */
async function emptyHandle(store: ObjectStore): Promise<KeyedStateHandle> {
  const { keyed, close } = await openBackend(store, { index: 0, parallelism: 1 });
  recordState(keyed);
  const handle = await checkpoint(keyed, store, 1);
  await close();
  return handle;
}

let files = 0;

async function writeTables(
  store: ObjectStore,
  { keys, starts }: SortedKeys,
  range: KeyGroupRange,
  state: number,
): Promise<TableMeta[]> {
  const metas: TableMeta[] = [];
  const values = new StateValues('record', [RECORD]);
  const writer = new StateKeyWriter({ state, key: keyCodec(t.int32()) });
  let table: TableWriter | undefined;
  let piece = new Uint8Array(PIECE_BYTES);
  let used = 0;
  const keep = (bytes: Uint8Array): number => {
    if (used + bytes.length > piece.length) {
      piece = new Uint8Array(PIECE_BYTES);
      used = 0;
    }
    piece.set(bytes, used);
    used += bytes.length;
    return used - bytes.length;
  };
  const finish = async (): Promise<void> => {
    if (table === undefined) return;
    const finished = await table.finish(yieldToLoop);
    table = undefined;
    const id = `bulk-${files++}`;
    const object = `bench/shared/${id}`;
    await createObject(store, object, finished.bytes);
    metas.push(placedTable({ id, object, offset: 0 }, { ...finished, minEpoch: 1, maxEpoch: 1 }));
  };
  for (let group = range.start; group <= range.end; group++) {
    for (let i = starts[group]!; i < starts[group + 1]!; i++) {
      const key = keys[i]!;
      if (table !== undefined && table.size >= FILE_BYTES) await finish();
      table ??= new TableWriter(TABLE_DEFAULTS, FILE_BYTES + (FILE_BYTES >> 3));
      const keyBytes = writer.write(group, undefined, key);
      const valueBytes = values.encode({ count: key, payload: PAYLOAD });
      // Both may land in the next piece together, never apart.
      if (used + keyBytes.length + valueBytes.length > piece.length) used = piece.length;
      const keyAt = keep(keyBytes);
      const valueAt = keep(valueBytes);
      const keyEnd = keyAt + keyBytes.length;
      const print = fingerprint(piece, keyAt, keyEnd);
      table.add(
        piece,
        keyAt,
        keyEnd,
        print,
        1,
        Infinity,
        piece,
        valueAt,
        valueAt + valueBytes.length,
      );
    }
    if ((group & 255) === 0) await yieldToLoop();
  }
  await finish();
  return metas;
}

async function handleOf(
  store: ObjectStore,
  template: KeyedStateHandle,
  part: { readonly keyGroups: KeyGroupRange; readonly tables: readonly TableMeta[] },
): Promise<KeyedStateHandle> {
  const empty = decodeManifest(await new StoreSnapshotReader(store).read(template.data));
  const data = versionToJson({ runs: [{ level: LEVEL, tables: part.tables }] });
  const manifest = { ...empty, data };
  const attemptId = `bulk${files++}`;
  const writer = new StoreSnapshotWriter(store, { jobId: 'bench', checkpointId: 1, attemptId });
  const handle = await writer.write('operator.forst', [encodeManifest(manifest)]);
  return { ...template, keyGroups: part.keyGroups, data: handle, files: filesOf(manifest) };
}

/** Writes some keys again, with a checkpoint after each round, as a job would have. Values stay what they were. */
async function changed(
  store: ObjectStore,
  restore: readonly KeyedStateHandle[],
  keys: number,
): Promise<readonly KeyedStateHandle[]> {
  const handles: KeyedStateHandle[] = [];
  for (const [index, handle] of restore.entries()) {
    const parallelism = restore.length;
    const { keyed, close } = await openBackend(store, { index, parallelism, restore: [handle] });
    const state = recordState(keyed);
    let latest = handle;
    let key = 0;
    for (let round = 1; round <= CHANGE_ROUNDS; round++) {
      for (let i = 0; i < CHANGED; i++) {
        key = (key + 104_729) % keys;
        if (Math.floor((groupOf(key) * parallelism) / MAX_PARALLELISM) !== index) continue;
        keyed.setCurrentKey(key);
        state.value = { count: key, payload: PAYLOAD };
      }
      latest = await checkpoint(keyed, store, round + 1);
    }
    await close();
    handles.push(latest);
  }
  return handles;
}
