/** Reads a snapshot of the forst backend by the schemas in its manifest: a scan of its trees, through a small cache of its own. */
import { ByteReader } from '../../base/bytes.ts';
import { internal } from '../../base/errors.ts';
import { LsmTree } from '../../lsm/lsm-tree.ts';
import { CachingBlockSource } from '../../lsm/cache/caching-block-source.ts';
import type { ScannedEntry } from '../../lsm/merged-scan.ts';
import { clipVersion, type TreeVersionJson, versionFromJson } from '../../lsm/tree-version.ts';
import type { ObjectStore } from '../../storage/object-store.ts';
import type { Codec } from '../../types/codec.ts';
import { keyCodec } from '../../types/key-codec.ts';
import { schemaFromJson } from '../../types/schema-json.ts';
import type { KeyedStateHandle, SnapshotReader } from '../snapshot.ts';
import { isTimers, type SnapshotEntry, type SnapshotInspector } from '../snapshot-inspector.ts';
import { decodeManifest, type HotKeys, type ManifestState } from './manifest.ts';
import { boundsOf, parseStateKey, timerTime } from './state-key.ts';
import { StateValues } from './state-values.ts';

const CACHE_BYTES = 8 * 1024 * 1024;
const SCAN_BATCH = 1024;

export interface ForstSource {
  readonly store: ObjectStore;
  readonly reader: SnapshotReader;
  readonly yieldToLoop: () => Promise<void>;
}

interface StateReader {
  readonly state: SnapshotEntry['state'];
  readonly namespace: Codec<unknown> | undefined;
  readonly userKey: Codec<unknown> | undefined;
  readonly values: StateValues | undefined;
}

export async function inspectForst(
  handle: KeyedStateHandle,
  source: ForstSource,
): Promise<SnapshotInspector> {
  const manifest = decodeManifest(await source.reader.read(handle.data));
  const key = keyCodec(schemaFromJson(manifest.keySchema));
  const readers = new Map(manifest.states.map((state) => [state.number, readerOf(state)]));
  return {
    keySchema: manifest.keySchema,
    maxParallelism: manifest.maxParallelism,
    states: [...readers.values()].map(({ state }) => state),
    ...(manifest.hotKeys === undefined ? {} : { hotKeys: decodeHotKeys(manifest.hotKeys, key) }),
    async *entries(signal) {
      for (const tree of [manifest.data, manifest.timers])
        for await (const entry of scan(tree, handle, source, signal)) {
          const found = entryOf(entry, key, readers);
          if (found !== undefined) yield found;
        }
    },
  };
}

const decodeHotKeys = ({ samples, keys }: HotKeys, codec: Codec<unknown>) => ({
  samples,
  keys: keys.map((hot) => ({
    key: codec.decode(new ByteReader(Buffer.from(hot.key, 'base64'))),
    samples: hot.samples,
  })),
});

function readerOf({
  name,
  kind,
  schemas,
  namespaceSchema,
  userKeySchema,
}: ManifestState): StateReader {
  return {
    state: { name, kind, valueSchema: schemas.at(-1) ?? null, namespaceSchema, userKeySchema },
    namespace: namespaceSchema === null ? undefined : keyCodec(schemaFromJson(namespaceSchema)),
    userKey: userKeySchema === null ? undefined : keyCodec(schemaFromJson(userKeySchema)),
    values: schemas.length === 0 ? undefined : new StateValues(name, schemas.map(schemaFromJson)),
  };
}

async function* scan(
  version: TreeVersionJson,
  { keyGroups }: KeyedStateHandle,
  { store, yieldToLoop }: ForstSource,
  signal: AbortSignal | undefined,
): AsyncIterable<ScannedEntry> {
  const { smallest, largest } = boundsOf(keyGroups);
  const blocks = new CachingBlockSource({ store, memoryBytes: CACHE_BYTES });
  const tree = new LsmTree({
    store,
    blocks,
    yieldToLoop,
    files: { write: () => Promise.reject(internal('READ_ONLY', 'an inspector writes nothing')) },
    version: clipVersion(versionFromJson(version), smallest, largest),
  });
  try {
    const entries = await tree.scanRange(smallest, undefined, signal);
    for (;;) {
      const batch = await entries.next(SCAN_BATCH);
      if (batch.length === 0) return;
      yield* batch;
    }
  } finally {
    tree.close();
    await blocks.close();
  }
}

function entryOf(
  { key: bytes, lookup }: ScannedEntry,
  keys: Codec<unknown>,
  readers: ReadonlyMap<number, StateReader>,
): SnapshotEntry | undefined {
  const parts = parseStateKey(bytes);
  const reader = readers.get(parts.state);
  if (reader === undefined) return undefined;
  const { state, namespace, userKey, values } = reader;
  const stored = [...(lookup.base === undefined ? [] : [lookup.base]), ...lookup.operands()];
  const common = {
    state,
    keyGroup: parts.keyGroup,
    key: keys.decode(new ByteReader(parts.key)),
    bytes: stored.reduce((sum, value) => sum + value.length, bytes.length),
  };
  // A timer's namespace lies in the place of the user key.
  const namespaceBytes = isTimers(state.kind) ? parts.userKey : parts.namespace;
  const decoded = namespace?.decode(new ByteReader(namespaceBytes));
  if (isTimers(state.kind))
    return {
      ...common,
      namespace: decoded,
      userKey: undefined,
      timestamp: timerTime(bytes),
      values: [],
    };
  return {
    ...common,
    namespace: decoded,
    userKey: userKey?.decode(new ByteReader(parts.userKey)),
    timestamp: undefined,
    values: stored.map((value) => values!.decode(value)),
  };
}
