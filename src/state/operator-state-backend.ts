/**
 * Operator state in memory: lists that are dealt out round robin on restore, lists that everybody gets, broadcast maps.
 *
 * Snapshot, version 1: JSON header (u32 length) with the states' names, modes, schemas and counts, then each state's
 * entries as length-prefixed rows. Redistribution is a pure function of the old snapshots, in subtask order, so all new subtasks agree.
 */
import { ByteReader, ByteWriter } from '../base/bytes.ts';
import { invalid, MillraceError } from '../base/errors.ts';
import type { JsonValue } from '../base/json.ts';
import { checkCompatibility, resolvingDecoder } from '../types/evolution.ts';
import { keyIdentity } from '../types/key-codec.ts';
import { rowCodec } from '../types/row-codec.ts';
import { schemaFromJson, schemaToJson } from '../types/schema-json.ts';
import type { Schema } from '../types/schema.ts';
import { t } from '../types/t.ts';
import type {
  BroadcastState,
  OperatorBackendParams,
  OperatorListState,
  OperatorStateBackend,
} from './operator-state.ts';
import type { OperatorStateHandle, SnapshotWriter } from './snapshot.ts';

type Mode = 'split' | 'union' | 'broadcast';

interface StateHeader {
  readonly name: string;
  readonly mode: Mode;
  readonly schema: JsonValue;
  readonly entries: number;
}

interface Registered {
  readonly mode: Mode;
  readonly schema: Schema<unknown>;
  entries(): readonly unknown[];
}

/** One old subtask's entries of one state, still as bytes. */
interface StoredState {
  readonly header: StateHeader;
  readonly rows: readonly Uint8Array[];
}

const VERSION = 1;

class ListInMemory<T> implements OperatorListState<T> {
  #values: T[];
  constructor(values: readonly T[]) {
    this.#values = [...values];
  }
  get(): readonly T[] {
    return this.#values;
  }
  add(value: T): void {
    this.#values.push(value);
  }
  update(values: readonly T[]): void {
    this.#values = [...values];
  }
  clear(): void {
    this.#values = [];
  }
}

class BroadcastInMemory<K, V> implements BroadcastState<K, V> {
  readonly #identify: (key: unknown) => unknown;
  readonly #entries = new Map<unknown, readonly [K, V]>();
  constructor(keySchema: Schema<K>, entries: readonly (readonly [K, V])[]) {
    this.#identify = keyIdentity(keySchema);
    for (const [key, value] of entries) this.put(key, value);
  }
  get(key: K): V | undefined {
    return this.#entries.get(this.#identify(key))?.[1];
  }
  contains(key: K): boolean {
    return this.#entries.has(this.#identify(key));
  }
  entries(): Iterable<readonly [K, V]> {
    return [...this.#entries.values()];
  }
  put(key: K, value: V): void {
    this.#entries.set(this.#identify(key), [key, value]);
  }
  remove(key: K): void {
    this.#entries.delete(this.#identify(key));
  }
  clear(): void {
    this.#entries.clear();
  }
}

export class InMemoryOperatorState implements OperatorStateBackend {
  readonly #params: OperatorBackendParams;
  /** Per old subtask. */
  readonly #stored: readonly (readonly StoredState[])[];
  readonly #registered = new Map<string, Registered>();

  private constructor(params: OperatorBackendParams, stored: readonly (readonly StoredState[])[]) {
    this.#params = params;
    this.#stored = stored;
  }

  static async open(params: OperatorBackendParams): Promise<InMemoryOperatorState> {
    const stored: StoredState[][] = [];
    for (const handle of params.restore)
      stored.push(decodeSnapshot(await params.reader.read(handle.data)));
    return new InMemoryOperatorState(params, stored);
  }

  getListState<T>(name: string, schema: Schema<T>): OperatorListState<T> {
    const all = this.#restored(name, 'split', schema);
    const { subtaskIndex, parallelism } = this.#params;
    // Entry i of all, in old-subtask order, goes to new subtask i mod parallelism.
    return this.#addList(
      name,
      'split',
      schema,
      all.filter((_, i) => i % parallelism === subtaskIndex),
    );
  }

  getUnionListState<T>(name: string, schema: Schema<T>): OperatorListState<T> {
    return this.#addList(name, 'union', schema, this.#restored(name, 'union', schema));
  }

  getBroadcastState<K, V>(
    name: string,
    keySchema: Schema<K>,
    valueSchema: Schema<V>,
  ): BroadcastState<K, V> {
    const schema = t.tuple(keySchema, valueSchema);
    // Every old subtask has the same content: take one copy.
    const { subtaskIndex } = this.#params;
    const entries = this.#restored(
      name,
      'broadcast',
      schema,
      this.#stored.length === 0 ? undefined : subtaskIndex % this.#stored.length,
    );
    const state = new BroadcastInMemory<K, V>(keySchema, entries as readonly (readonly [K, V])[]); // decoded with this schema
    this.#register(name, { mode: 'broadcast', schema, entries: () => [...state.entries()] });
    return state;
  }

  snapshot(): { write(writer: SnapshotWriter): Promise<OperatorStateHandle> } | undefined {
    if (this.#registered.size === 0) return undefined;
    const bytes = encodeSnapshot(this.#registered);
    return { write: async (writer) => ({ data: await writer.write('operator', [bytes]) }) };
  }

  #addList<T>(
    name: string,
    mode: Mode,
    schema: Schema<T>,
    values: readonly T[],
  ): OperatorListState<T> {
    const state = new ListInMemory(values);
    this.#register(name, { mode, schema, entries: () => state.get() });
    return state;
  }

  #register(name: string, state: Registered): void {
    if (this.#registered.has(name))
      throw invalid(
        'DUPLICATE_STATE',
        `operator state "${name}" is registered twice in operator ${this.#params.operatorId}`,
      );
    this.#registered.set(name, state);
  }

  #restored<T>(name: string, mode: Mode, schema: Schema<T>, only?: number): T[] {
    const values: T[] = [];
    this.#stored.forEach((states, subtask) => {
      if (only !== undefined && subtask !== only) return;
      const found = states.find(({ header }) => header.name === name);
      if (found === undefined) return;
      const writer = this.#check(found.header, mode, schema);
      const decode = resolvingDecoder(writer, schema);
      for (const row of found.rows) values.push(decode(new ByteReader(row)));
    });
    return values;
  }

  #check(header: StateHeader, mode: Mode, schema: Schema<unknown>): Schema<unknown> {
    const writer = schemaFromJson(header.schema);
    const compatibility = checkCompatibility(writer, schema);
    const reasons = [
      ...(header.mode === mode ? [] : [`it was ${header.mode} state and is ${mode} state now`]),
      ...(compatibility.outcome === 'incompatible' ? compatibility.reasons : []),
    ];
    if (reasons.length > 0) {
      throw new MillraceError(
        'data',
        'STATE_SCHEMA_INCOMPATIBLE',
        `operator state "${header.name}" of operator ${this.#params.operatorId} cannot be restored: ${reasons.join('; ')}`,
        {
          details: { operator: this.#params.operatorId, state: header.name, reasons },
        },
      );
    }
    return writer;
  }
}

function encodeSnapshot(states: ReadonlyMap<string, Registered>): Uint8Array {
  const headers: StateHeader[] = [];
  const body = new ByteWriter();
  for (const [name, { mode, schema, entries }] of states) {
    const codec = rowCodec(schema);
    const row = new ByteWriter();
    const values = entries();
    for (const value of values) {
      row.reset();
      codec.encode(value, row);
      body.bytes(row.view());
    }
    headers.push({ name, mode, schema: schemaToJson(schema), entries: values.length });
  }
  const json = Buffer.from(JSON.stringify({ version: VERSION, states: headers }));
  const writer = new ByteWriter(json.length + body.position + 4);
  writer.u32(json.length);
  writer.raw(json);
  writer.raw(body.view());
  return writer.take();
}

function decodeSnapshot(bytes: Uint8Array): StoredState[] {
  const reader = new ByteReader(bytes);
  const length = reader.u32();
  reader.require(length);
  const json = reader.buffer.toString('utf8', reader.position, reader.position + length);
  reader.position += length;
  const { version, states } = JSON.parse(json) as {
    version: number;
    states: readonly StateHeader[];
  }; // written by encodeSnapshot, guarded by a checksum
  if (version !== VERSION) {
    throw new MillraceError(
      'data',
      'SNAPSHOT_VERSION',
      `an operator state snapshot has version ${version}; this release reads ${VERSION}`,
    );
  }
  return states.map((header) => ({
    header,
    rows: Array.from({ length: header.entries }, () => reader.bytes()),
  }));
}
