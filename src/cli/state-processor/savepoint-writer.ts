/**
 * Writes a savepoint from entries that come one by one, and from what another savepoint has.
 *
 * Each state is written as it comes, 50,000 entries in memory at a time. The savepoint exists when `finish` settles.
 */
import { invalid } from '../../base/errors.ts';
import type { JsonValue } from '../../base/json.ts';
import { realWorld } from '../../base/real-world.ts';
import { OperatorIds } from '../../graph/operator-id.ts';
import { hasTtl, storedSchema } from '../../state/cells/stored-value.ts';
import {
  CHECKPOINT_RECORD_VERSION,
  type CheckpointRecord,
  encodeRecord,
  type OperatorRecord,
  type VertexRecord,
} from '../../state/checkpoint-record.ts';
import type { StateDescriptor } from '../../state/descriptor.ts';
import type { KeyedStateHandle, OperatorSnapshot } from '../../state/snapshot.ts';
import type {
  InspectedState,
  SnapshotEntry,
  SnapshotInspector,
} from '../../state/snapshot-inspector.ts';
import { CanonicalWriter, SAVEPOINT_RECORD_KEY } from '../../state/savepoint/write-savepoint.ts';
import type { ObjectStore } from '../../storage/object-store.ts';
import { MAX_PARALLELISM_DEFAULT } from '../../types/key-group.ts';
import { keyGroupFunction } from '../../types/key-hash.ts';
import { schemaToJson } from '../../types/schema-json.ts';
import { openStoreAt } from '../fork-origin.ts';
import type { SavepointReader } from './savepoint-reader.ts';
import type { EntryOf, StateSpec } from './state-entry.ts';

export interface SavepointWriterOptions {
  /** That of the operators that are going to read it. Default that of `pipeline.max-parallelism`. */
  readonly maxParallelism?: number;
  /** For people. Default 'state-processor'. */
  readonly jobName?: string;
  /** Such as `s3.endpoint`. */
  readonly config?: Readonly<Record<string, JsonValue>>;
}

/** A new savepoint in an empty folder or `s3://bucket/prefix`. @public @throws `invalid` SAVEPOINT_EXISTS */
export async function createSavepoint(
  location: string,
  options: SavepointWriterOptions = {},
): Promise<SavepointWriter> {
  const store = openStoreAt(location.replace(/\/+$/, ''), options.config ?? {});
  if ((await store.head(SAVEPOINT_RECORD_KEY)) !== undefined) {
    await store.close();
    throw invalid('SAVEPOINT_EXISTS', `there is a savepoint in ${location} already`);
  }
  return new SavepointWriter(store, options);
}

interface Operator {
  readonly record: OperatorRecord;
  readonly subtasks: OperatorSnapshot[];
}

export class SavepointWriter {
  readonly #store: ObjectStore;
  readonly #options: SavepointWriterOptions;
  readonly #operators = new Map<string, Operator>();
  /** One for all that is given: it numbers the states of each operator. */
  readonly #given: CanonicalWriter;

  constructor(store: ObjectStore, options: SavepointWriterOptions) {
    const read = () => Promise.reject(invalid('NOTHING_TO_READ', 'the entries are given'));
    this.#given = new CanonicalWriter(
      { store, reader: { read }, yieldToLoop: async () => {} },
      store,
    );
    this.#store = store;
    this.#options = options;
  }

  /**
   * Takes over what another savepoint has, operators by uid: `except` leaves some out, `rename` gives some another uid. Positions of sources and
   * committables of sinks come along.
   */
  async copyFrom(
    from: SavepointReader,
    {
      except = [],
      rename = {},
    }: {
      readonly except?: readonly string[];
      readonly rename?: Readonly<Record<string, string>>;
    } = {},
  ): Promise<void> {
    const writer = new CanonicalWriter(from.source, this.#store);
    for (const { operator, snapshots } of from.snapshots()) {
      const { uid } = operator;
      if (uid !== undefined && except.includes(uid)) continue;
      const renamed = uid === undefined ? undefined : rename[uid];
      const record =
        renamed === undefined ? operator : { ...operator, uid: renamed, id: operatorIdOf(renamed) };
      const copied = this.#add(record);
      for (const [subtask, snapshot] of snapshots.entries())
        copied.subtasks.push(await writer.operator(record, subtask, snapshot));
    }
  }

  /** An operator whose state is given. The key's schema is that of its program. @throws `invalid` OPERATOR_EXISTS */
  operator(uid: string): OperatorWriter {
    const { maxParallelism = MAX_PARALLELISM_DEFAULT } = this.#options;
    const id = operatorIdOf(uid);
    const operator = this.#add({ id, uid, name: uid, parallelism: 1, maxParallelism });
    return new OperatorWriter(this.#given, id, maxParallelism, (handles) =>
      operator.subtasks.push({ keyed: handles }),
    );
  }

  /** Writes the record: from here on it is a savepoint. */
  async finish(): Promise<void> {
    const { jobName = 'state-processor' } = this.#options;
    const world = realWorld();
    const nowMs = world.clock.wallMs();
    const vertices = [...this.#operators.values()].map(({ record, subtasks }): VertexRecord => ({
      id: record.id,
      operators: [record],
      subtasks: subtasks.map((snapshot) => {
        return { operators: { [record.id]: snapshot }, sizeBytes: 0 };
      }),
    }));
    const record: CheckpointRecord = {
      version: CHECKPOINT_RECORD_VERSION,
      jobId: world.ids.next(),
      jobName,
      ...{ checkpointId: 1, generation: 0, triggeredAtMs: nowMs, completedAtMs: nowMs },
      ...{ fingerprint: '', vertices },
      savepoint: 'canonical',
    };
    await this.#store.put(SAVEPOINT_RECORD_KEY, encodeRecord(record));
    await this.#store.close();
  }

  #add(record: OperatorRecord): Operator {
    if (this.#operators.has(record.id))
      throw invalid(
        'OPERATOR_EXISTS',
        `the savepoint has operator "${record.uid ?? record.name}" already`,
      );
    const operator = { record, subtasks: [] };
    this.#operators.set(record.id, operator);
    return operator;
  }
}

export class OperatorWriter {
  readonly #writer: CanonicalWriter;
  readonly #operatorId: string;
  readonly #maxParallelism: number;
  readonly #written: (handles: readonly KeyedStateHandle[]) => void;
  #states = 0;

  constructor(
    writer: CanonicalWriter,
    operatorId: string,
    maxParallelism: number,
    written: (handles: readonly KeyedStateHandle[]) => void,
  ) {
    this.#writer = writer;
    this.#operatorId = operatorId;
    this.#maxParallelism = maxParallelism;
    this.#written = written;
  }

  /**
   * Writes one state from its entries: each key and namespace once, entries of one map one after another. State with a TTL counts as touched
   * now. @throws `data` for a value that does not fit its schema
   */
  async write<K, const D extends StateDescriptor, N = undefined>(
    name: string,
    spec: StateSpec<K, D, N>,
    entries: AsyncIterable<EntryOf<K, D, N>> | Iterable<EntryOf<K, D, N>>,
  ): Promise<this> {
    const inspector = new GivenEntries(name, spec, this.#maxParallelism, entries as GivenInput);
    const prefix = `state/${this.#operatorId}-given-${this.#states++}`;
    const keyGroups = { start: 0, end: this.#maxParallelism - 1 };
    this.#written(await this.#writer.keyed(this.#operatorId, prefix, inspector, keyGroups));
    return this;
  }
}

interface GivenEntry {
  readonly key: unknown;
  readonly namespace?: unknown;
  readonly mapKey?: unknown;
  readonly value: unknown;
}
type GivenInput = AsyncIterable<GivenEntry> | Iterable<GivenEntry>;

/** Entries of one state as a snapshot has them. */
class GivenEntries implements SnapshotInspector {
  readonly keySchema: JsonValue;
  readonly maxParallelism: number;
  readonly states: readonly [InspectedState];
  readonly #given: GivenInput;
  readonly #keyGroupOf: (key: unknown) => number;
  readonly #descriptor: StateDescriptor;

  constructor(
    name: string,
    { key, state, namespace }: StateSpec<unknown, StateDescriptor, unknown>,
    maxParallelism: number,
    given: GivenInput,
  ) {
    const whole = storedSchema(state);
    const value = state.kind === 'map' && whole.kind === 'map' ? whole.value : whole;
    this.keySchema = schemaToJson(key);
    this.maxParallelism = maxParallelism;
    this.#given = given;
    this.#descriptor = state;
    this.#keyGroupOf = keyGroupFunction(key, maxParallelism);
    this.states = [
      {
        name,
        kind: state.kind,
        valueSchema: schemaToJson(value),
        namespaceSchema: namespace === undefined ? null : schemaToJson(namespace),
        userKeySchema: state.kind === 'map' ? schemaToJson(state.keySchema) : null,
      },
    ];
  }

  async *entries(): AsyncGenerator<SnapshotEntry> {
    const [state] = this.states;
    const isStamped = hasTtl(this.#descriptor);
    const touchedMs = realWorld().clock.wallMs();
    const stamp = (value: unknown): unknown => (isStamped ? { value, touchedMs } : value);
    for await (const { key, namespace, mapKey, value } of this.#given)
      yield {
        ...{ state, key, namespace, userKey: mapKey, timestamp: undefined, bytes: 0 },
        keyGroup: this.#keyGroupOf(key),
        values: [
          this.#descriptor.kind === 'list'
            ? (value as readonly unknown[]).map(stamp)
            : stamp(value), // a list's value is all of it
        ],
      };
  }
}

const operatorIdOf = (uid: string): string => new OperatorIds().fromUid(uid, uid);
