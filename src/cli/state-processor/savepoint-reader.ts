/**
 * Reads the state of a savepoint or checkpoint, entry by entry, as the descriptors of a program have it: fields evolve as they do at a restore.
 *
 * Memory: one file of a savepoint or one hashmap snapshot at a time; of forst a few blocks.
 */
import { ByteReader, ByteWriter } from '../../base/bytes.ts';
import { invalid } from '../../base/errors.ts';
import type { JsonValue } from '../../base/json.ts';
import { realWorld } from '../../base/real-world.ts';
import { hasTtl, storedSchema } from '../../state/cells/stored-value.ts';
import { StoreSnapshotReader } from '../../state/checkpoint-storage.ts';
import type { CheckpointRecord, OperatorRecord } from '../../state/checkpoint-record.ts';
import type { StateDescriptor } from '../../state/descriptor.ts';
import type { ForstSource } from '../../state/forst/forst-inspector.ts';
import { openInspector } from '../../state/open-inspector.ts';
import type { OperatorSnapshot } from '../../state/snapshot.ts';
import type { InspectedState, SnapshotEntry } from '../../state/snapshot-inspector.ts';
import type { ObjectStore } from '../../storage/object-store.ts';
import { resolvingDecoder } from '../../types/evolution.ts';
import { rowCodec } from '../../types/row-codec.ts';
import { schemaFromJson, schemaToJson } from '../../types/schema-json.ts';
import type { Schema } from '../../types/schema.ts';
import { findCheckpoint } from '../checkpoint-location.ts';
import type { EntryOf, StateSpec } from './state-entry.ts';

export interface OperatorInfo {
  readonly uid: string | undefined;
  readonly name: string;
  readonly maxParallelism: number;
  readonly states: readonly { readonly name: string; readonly kind: string }[];
}

/**
 * Opens a savepoint, a checkpoint (`<dir>/<job>/chk-...`) or a job's newest one. Close it. @public
 * @throws `invalid` NO_SUCH_CHECKPOINT; `data` when the record is corrupt
 */
export async function openSavepoint(
  location: string,
  config: Readonly<Record<string, JsonValue>> = {},
): Promise<SavepointReader> {
  const { store, record } = await findCheckpoint(location, config);
  return new SavepointReader(store, record);
}

export class SavepointReader {
  readonly #store: ObjectStore;
  /** @internal */
  readonly record: CheckpointRecord;
  /** @internal */
  readonly source: ForstSource;

  constructor(store: ObjectStore, record: CheckpointRecord) {
    const world = realWorld();
    this.#store = store;
    this.record = record;
    this.source = {
      ...{ store, reader: new StoreSnapshotReader(store) },
      yieldToLoop: () => new Promise((resolve) => world.timers.soon(resolve)),
    };
  }

  get jobName(): string {
    return this.record.jobName;
  }

  /** Operators with state by key. Reads their schemas. */
  async operators(): Promise<readonly OperatorInfo[]> {
    const infos: OperatorInfo[] = [];
    for (const { operator, snapshots } of this.snapshots()) {
      const states = new Map<string, { name: string; kind: string }>();
      for (const handle of snapshots.flatMap(({ keyed }) => keyed))
        for (const { name, kind } of (await openInspector(handle, this.source)).states)
          states.set(`${kind} ${name}`, { name, kind });
      const { uid, name, maxParallelism } = operator;
      if (states.size > 0) infos.push({ uid, name, maxParallelism, states: [...states.values()] });
    }
    return infos;
  }

  /**
   * All entries of one state, in the order in which they are stored. `uid` may be the operator's name where it has none.
   * @throws `invalid` NO_SUCH_STATE; `data` STATE_SCHEMA_INCOMPATIBLE, SCHEMA_INCOMPATIBLE, or what is corrupt
   */
  async *read<K, const D extends StateDescriptor, N = undefined>(
    uid: string,
    name: string,
    { key, state, namespace }: StateSpec<K, D, N>,
  ): AsyncGenerator<EntryOf<K, D, N>> {
    const found = this.snapshots().find(
      ({ operator }) => operator.uid === uid || operator.name === uid,
    );
    let isFound = false;
    for (const handle of found?.snapshots.flatMap(({ keyed }) => keyed) ?? []) {
      const inspector = await openInspector(handle, this.source);
      const stored = inspector.states.find((s) => s.name === name && s.kind === state.kind);
      if (stored === undefined) continue;
      isFound = true;
      refuseOther('key', inspector.keySchema, key);
      refuseOther('namespace', stored.namespaceSchema, namespace);
      const convert = converterOf(stored, state);
      for await (const entry of inspector.entries())
        if (entry.state.name === name && entry.state.kind === state.kind)
          yield convert(entry) as unknown as EntryOf<K, D, N>; // by the schemas checked above
    }
    if (!isFound) throw noSuchState(uid, name, state.kind);
  }

  async close(): Promise<void> {
    await this.#store.close();
  }

  /** @internal */
  snapshots(): readonly {
    readonly operator: OperatorRecord;
    readonly snapshots: readonly OperatorSnapshot[];
  }[] {
    return this.record.vertices.flatMap(({ operators, subtasks }) =>
      operators.map((operator) => ({
        operator,
        snapshots: subtasks.flatMap((subtask) => subtask.operators[operator.id] ?? []),
      })),
    );
  }
}

const noSuchState = (uid: string, name: string, kind: string): Error =>
  invalid(
    'NO_SUCH_STATE',
    `the savepoint has no ${kind} state "${name}" of operator "${uid}"; \`millrace state inspect\` shows what it has`,
    { uid, name },
  );

function refuseOther(what: string, stored: JsonValue, given: Schema<unknown> | undefined): void {
  const text = given === undefined ? 'null' : JSON.stringify(schemaToJson(given));
  if (JSON.stringify(stored) === text) return;
  throw invalid(
    'SCHEMA_DIFFERS',
    `the ${what} of the state was written as ${JSON.stringify(stored)} and is to be read as ${text}; these do not evolve`,
  );
}

interface RawEntry {
  readonly key: unknown;
  readonly namespace: unknown;
  readonly value: unknown;
  readonly mapKey?: unknown;
}

type Convert = (entry: SnapshotEntry) => RawEntry;

/** From what is stored to what the descriptor says: evolved, folded, without TTL stamps. */
function converterOf(stored: InspectedState, descriptor: StateDescriptor): Convert {
  const evolve = evolution(stored, descriptor);
  const bare = hasTtl(descriptor)
    ? (value: unknown) => (value as { readonly value: unknown }).value // TTL states store these
    : (value: unknown) => value;
  return ({ key, namespace, userKey, values }) => {
    const entry = { key, namespace, value: fold(descriptor, values.map(evolve), bare) };
    return descriptor.kind === 'map' ? { ...entry, mapKey: userKey } : entry;
  };
}

function evolution(
  stored: InspectedState,
  descriptor: StateDescriptor,
): (value: unknown) => unknown {
  const writer = schemaFromJson(stored.valueSchema);
  const whole = storedSchema(descriptor);
  const reader = whole.kind === 'map' && descriptor.kind === 'map' ? whole.value : whole;
  const codec = rowCodec(writer);
  const decode = resolvingDecoder(writer, reader);
  if (JSON.stringify(stored.valueSchema) === JSON.stringify(schemaToJson(reader)))
    return (value) => value;
  const row = new ByteWriter(256);
  return (value) => {
    row.reset();
    codec.encode(value, row);
    return decode(new ByteReader(row.take()));
  };
}

function fold(
  descriptor: StateDescriptor,
  values: readonly unknown[],
  bare: (value: unknown) => unknown,
): unknown {
  switch (descriptor.kind) {
    case 'list':
      return (values as unknown[][]).flat().map(bare); // lists hold arrays
    case 'reducing':
      return values.map(bare).reduce((a, b) => descriptor.reduce(a, b));
    case 'aggregating':
      return values.map(bare).reduce((a, b) => {
        const { merge } = descriptor.aggregate;
        if (merge === undefined)
          throw invalid(
            'STATE_NOT_MERGEABLE',
            'the state is stored in parts: its aggregate needs merge',
          );
        return merge.call(descriptor.aggregate, a, b);
      });
    default:
      return bare(values[0]);
  }
}
