/**
 * Loads canonical files into the trees of a forst backend, by the schemas in them; what the job declares later evolves them when they are met.
 *
 * Cost: reads the files and writes them once more, at restore. Memory: one file, and the trees' memtables.
 */
import type { LsmTree } from '../../lsm/lsm-tree.ts';
import { keyCodec } from '../../types/key-codec.ts';
import { schemaFromJson } from '../../types/schema-json.ts';
import type { KeyedBackendParams } from '../keyed-state-backend.ts';
import { type CanonicalInspector, inspectCanonical } from '../savepoint/canonical-file.ts';
import { isTimers, type SnapshotEntry } from '../snapshot-inspector.ts';
import type { Manifest, ManifestState } from './manifest.ts';
import { StateKeyWriter } from './state-key.ts';
import { StateValues } from './state-values.ts';

const NO_VALUE = new Uint8Array(0);
const ENTRIES_BETWEEN_LOOKS = 1024;

export interface LoadTarget {
  readonly data: LsmTree;
  readonly timers: LsmTree;
  readonly unflushedBytesMax: number;
}

/** Loads what lies in the backend's key groups; returns a manifest that names the states and no files. */
export async function loadCanonical(
  { restore, reader, keyGroupRange, yieldToLoop }: KeyedBackendParams,
  target: LoadTarget,
): Promise<Manifest | undefined> {
  const states = new Map<number, ManifestState>();
  let base: Pick<Manifest, 'keySchema' | 'maxParallelism'> | undefined;
  for (const handle of restore) {
    if (handle.backend !== 'canonical') continue;
    const inspector = await inspectCanonical(handle, reader);
    const { keySchema, maxParallelism } = inspector;
    base = { keySchema, maxParallelism };
    const state = manifestState(inspector);
    states.set(state.number, state);
    const load = loader(inspector, state, target);
    let count = 0;
    for await (const entry of inspector.entries()) {
      if (entry.keyGroup < keyGroupRange.start || entry.keyGroup > keyGroupRange.end) continue;
      load(entry);
      if (++count % ENTRIES_BETWEEN_LOOKS !== 0) continue;
      await yieldToLoop();
      for (const tree of [target.data, target.timers])
        if (tree.unflushedBytes > target.unflushedBytesMax) await tree.flush();
    }
  }
  if (base === undefined) return undefined;
  for (const tree of [target.data, target.timers]) {
    tree.seal();
    await tree.flush();
  }
  return { ...base, states: [...states.values()], data: [], timers: [] };
}

function manifestState({ ordinal, states: [state] }: CanonicalInspector): ManifestState {
  const { name, kind, valueSchema, namespaceSchema, userKeySchema } = state!; // a canonical file holds one
  return {
    // Odd for maps.
    number: 2 * ordinal + (kind === 'map' ? 1 : 0),
    name,
    kind,
    schemas: isTimers(kind) ? [] : [valueSchema],
    namespaceSchema,
    userKeySchema,
  };
}

function loader(
  { keySchema }: CanonicalInspector,
  { name, kind, number, schemas, namespaceSchema, userKeySchema }: ManifestState,
  { data, timers }: LoadTarget,
): (entry: SnapshotEntry) => void {
  const codecOf = (schema: ManifestState['namespaceSchema']) =>
    schema === null ? undefined : keyCodec(schemaFromJson(schema));
  const keys = new StateKeyWriter({
    state: number,
    key: keyCodec(schemaFromJson(keySchema)),
    namespace: codecOf(namespaceSchema),
    userKey: codecOf(userKeySchema),
  });
  if (isTimers(kind))
    return ({ keyGroup, timestamp, key, namespace }) =>
      timers.put(keys.writeTimer(keyGroup, timestamp!, key, namespace), NO_VALUE);
  const values = new StateValues(name, schemas.map(schemaFromJson));
  return ({ keyGroup, namespace, key, userKey, values: parts }) => {
    const prefix = keys.write(keyGroup, namespace, key);
    const bytes = kind === 'map' ? keys.withUserKey(prefix.length, userKey) : prefix;
    for (const part of parts) {
      const isPart = kind === 'reducing' || kind === 'aggregating';
      if (isPart) data.merge(bytes, values.encode(part));
      else data.put(bytes, values.encode(part));
    }
  };
}
