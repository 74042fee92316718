/**
 * Keyed state as live objects on the heap: the backend for state that fits in memory.
 *
 * Owns the key context, one `StateTable` per state and per timer domain, and the snapshots that are being written. Snapshots are taken in
 * O(tables) and encoded copy-on-write by bucket (see `snapshot-capture.ts`), in full each time.
 */
import { ByteReader, type ByteWriter } from '../../base/bytes.ts';
import { invalid, MillraceError } from '../../base/errors.ts';
import { keyCodec, keyIdentity } from '../../types/key-codec.ts';
import type { KeyedStateHandle } from '../snapshot.ts';
import type { KeyGroupRange } from '../../types/key-group.ts';
import { checkCompatibility } from '../../types/evolution.ts';
import { schemaFromJson, schemaToJson } from '../../types/schema-json.ts';
import type { Schema } from '../../types/schema.ts';
import type { StateDescriptor, SyncStateOf } from '../descriptor.ts';
import type {
  InternalTimerService,
  KeyedBackendParams,
  KeyedStateBackend,
  Namespaced,
  PendingSnapshot,
  StateBackend,
  TimerProgress,
  TimerTarget,
  VOID_NAMESPACE,
} from '../keyed-state-backend.ts';
import { buildState } from '../cells/build-state.ts';
import { timestampOf } from '../cells/cell-table.ts';
import { fireTimers } from '../cells/fire-timers.ts';
import { type CapturedTable, SnapshotBuffers, SnapshotCapture } from './snapshot-capture.ts';
import {
  covers,
  decodeFooter,
  type EntryCodecs,
  readAddress,
  type SectionHeader,
  type TableHeader,
  writeAddress,
  writeValueEntry,
} from './snapshot-format.ts';
import { fromCanonical, type HashMapFile } from './from-canonical.ts';
import { inspectCanonical } from '../savepoint/canonical-file.ts';
import { type Bucket, BucketLayout, Cell, SnapshotContext, StateTable } from './state-table.ts';
import { refuseGeneric, storedCodec, storedDecoder, storedSchema } from '../cells/stored-value.ts';
import { foldOf } from '../cells/fold-of.ts';
import { expiryOfStored } from '../cells/stored-expiry.ts';
import { CellTimerService } from '../cells/timer-service.ts';

/** One restored file: its bytes stay until every state in it has been claimed. */
interface RestoredFile {
  readonly bytes: Uint8Array;
  readonly tables: readonly TableHeader[];
  readonly sections: readonly SectionHeader[];
  readonly claimed: Set<number>;
}

const NO_NAMESPACE = (): undefined => undefined;

export class HashMapStateBackend implements StateBackend {
  readonly name = 'hashmap';

  async createKeyed(params: KeyedBackendParams): Promise<KeyedStateBackend> {
    const files: RestoredFile[] = [];
    for (const handle of params.restore) {
      const { bytes, keySchema, tables, sections } = await readFile(handle, params);
      checkKeySchema(params, schemaFromJson(keySchema));
      files.push({ bytes, tables, sections, claimed: new Set() });
    }
    return new HashMapKeyedBackend(params, files);
  }
}

async function readFile(
  handle: KeyedStateHandle,
  { reader, operatorId }: KeyedBackendParams,
): Promise<HashMapFile> {
  if (handle.backend === 'canonical') return fromCanonical(await inspectCanonical(handle, reader));
  if (handle.backend !== 'hashmap') throw otherBackend(operatorId, handle.backend);
  const bytes = await reader.read(handle.data);
  return { bytes, ...decodeFooter(bytes) };
}

const otherBackend = (operatorId: string, backend: string): MillraceError =>
  invalid(
    'STATE_BACKEND_DIFFERS',
    `the state of operator ${operatorId} was written by the ${backend} backend and cannot be opened by hashmap. Write a savepoint of the checkpoint with \`millrace savepoint create\` and restore that, or set state.backend.type to ${backend}`,
    { operator: operatorId, backend },
  );

function checkKeySchema(params: KeyedBackendParams, stored: Schema<unknown>): void {
  const compatibility = checkCompatibility(stored, params.keySchema);
  if (compatibility.outcome === 'as-is') return;
  const reasons =
    compatibility.outcome === 'incompatible' ? compatibility.reasons : ['keys cannot be migrated'];
  throw new MillraceError(
    'data',
    'KEY_SCHEMA_INCOMPATIBLE',
    `the keys of operator ${params.operatorId} changed: ${reasons.join('; ')}`,
    {
      details: { operator: params.operatorId, reasons },
    },
  );
}

export class HashMapKeyedBackend implements KeyedStateBackend {
  readonly keyGroupRange: KeyGroupRange;
  readonly maxParallelism: number;
  readonly residency = undefined;
  readonly #params: KeyedBackendParams;
  readonly #context: SnapshotContext;
  readonly #layout: BucketLayout;
  readonly #identify: (key: unknown) => unknown;
  readonly #keyCodec;
  readonly #files: readonly RestoredFile[];
  readonly #states = new Map<
    string,
    { readonly descriptor: StateDescriptor; readonly table: StateTable }
  >();
  readonly #timers = new Map<string, CellTimerService<unknown, StateTable>>();
  readonly #tables: CapturedTable[] = [];
  readonly #tableIndex = new Map<StateTable, number>();
  readonly #captures = new Set<SnapshotCapture>();
  readonly #buffers = new SnapshotBuffers();
  #watermark = Number.NEGATIVE_INFINITY;

  constructor(params: KeyedBackendParams, files: readonly RestoredFile[]) {
    this.#params = params;
    this.keyGroupRange = params.keyGroupRange;
    this.maxParallelism = params.maxParallelism;
    this.#layout = new BucketLayout(params.keyGroupRange);
    this.#identify = keyIdentity(params.keySchema);
    this.#context = new SnapshotContext(params);
    this.#keyCodec = keyCodec(params.keySchema);
    this.#files = files;
    this.#context.capture = (table, bucket) => this.#captureBucket(table, bucket);
  }

  get currentKey(): unknown {
    return this.#context.key;
  }

  /** @hot bench/runtime.ts. The key group is computed when the key gets its first entry, not before. */
  setCurrentKey(key: unknown): void {
    this.#context.set(key);
  }

  getState<D extends StateDescriptor>(
    name: string,
    descriptor: D,
  ): SyncStateOf<D> & Namespaced<typeof VOID_NAMESPACE> {
    return this.#register(name, descriptor, undefined) as SyncStateOf<D> &
      Namespaced<typeof VOID_NAMESPACE>; // buildState makes the kind that the descriptor names
  }

  getNamespacedState<D extends StateDescriptor, N>(
    name: string,
    descriptor: D,
    namespaceSchema: Schema<N>,
  ): SyncStateOf<D> & Namespaced<N> {
    return this.#register(name, descriptor, namespaceSchema) as SyncStateOf<D> & Namespaced<N>; // as above
  }

  getTimerService<N>(
    name: string,
    namespaceSchema: Schema<N>,
    target: TimerTarget<N>,
  ): InternalTimerService<N> {
    if (this.#timers.has(name))
      throw invalid('DUPLICATE_STATE', `timer service "${name}" is registered twice`);
    const identify = keyIdentity(namespaceSchema);
    const make = (domain: 'event' | 'processing'): StateTable =>
      new StateTable(`${name}/${domain}`, this.#layout, this.#context);
    const service = new CellTimerService<N, StateTable>({
      context: this.#context,
      target,
      identify,
      tables: { event: make('event'), processing: make('processing') },
      setKey: (key) => this.setCurrentKey(key),
      identifyKey: this.#identify,
      watermark: () => this.#watermark,
      resident: true,
    });
    this.#timers.set(name, service as CellTimerService<unknown, StateTable>); // namespaces are opaque to the backend
    const codecs: EntryCodecs = { key: this.#keyCodec, namespace: keyCodec(namespaceSchema) };
    for (const domain of ['event', 'processing'] as const) {
      const table = service.tables[domain];
      const header: TableHeader = {
        name,
        kind: `${domain}-timers`,
        valueSchema: null,
        namespaceSchema: schemaToJson(namespaceSchema),
      };
      this.#addTable(table, header, (bucket, writer) => encodeTimers(bucket, writer, codecs));
      this.#restoreTable(header, codecs, (address, reader) =>
        service.restore(domain, { ...address, timestamp: reader.f64() }),
      );
    }
    return service;
  }

  advanceWatermark(watermark: number, limit: number): TimerProgress {
    this.#watermark = watermark;
    return fireTimers(this.#timers, 'event', watermark, limit);
  }

  advanceProcessingTime(now: number, limit: number): TimerProgress {
    return fireTimers(this.#timers, 'processing', now, limit);
  }

  nextProcessingTime(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const service of this.#timers.values()) next = Math.min(next, service.next('processing'));
    return next;
  }

  applyToAllKeys<N>(name: string, namespace: N, visit: (key: unknown) => void): void {
    const state = this.#states.get(name);
    if (state === undefined) throw invalid('UNKNOWN_STATE', `no state "${name}" is registered`);
    const wanted = namespace === undefined || typeof namespace === 'symbol' ? undefined : namespace;
    for (const cell of state.table.cells()) {
      if (cell.namespaceId !== wanted && cell.namespace !== wanted) continue;
      this.setCurrentKey(cell.key);
      visit(cell.key);
    }
  }

  snapshot(checkpointId: number): PendingSnapshot {
    const capture = new SnapshotCapture({
      checkpointId,
      epoch: ++this.#context.epoch,
      tables: [...this.#tables],
      base: {
        keySchema: schemaToJson(this.#params.keySchema),
        maxParallelism: this.maxParallelism,
        range: this.keyGroupRange,
      },
      yieldToLoop: this.#params.yieldToLoop,
      ended: (ended) => this.#captures.delete(ended),
      buffers: this.#buffers,
    });
    this.#captures.add(capture);
    return capture;
  }

  notifyCheckpointComplete(): void {}

  notifyCheckpointAborted(): void {}

  unclaimedStates(): readonly string[] {
    const names = this.#files.flatMap((file) =>
      file.tables.filter((_, i) => !file.claimed.has(i)).map(({ name }) => name),
    );
    return [...new Set(names)];
  }

  async close(): Promise<void> {
    for (const capture of [...this.#captures]) capture.discard();
  }

  #register(
    name: string,
    descriptor: StateDescriptor,
    namespaceSchema: Schema<unknown> | undefined,
  ): unknown {
    if (this.#states.has(name))
      throw invalid(
        'DUPLICATE_STATE',
        `state "${name}" is registered twice in operator ${this.#params.operatorId}`,
      );
    if (!this.#params.allowGenericTypes) refuseGeneric(name, descriptor.schema);
    const table = new StateTable(name, this.#layout, this.#context);
    const codec = storedCodec(descriptor);
    const codecs: EntryCodecs = {
      key: this.#keyCodec,
      namespace: namespaceSchema === undefined ? undefined : keyCodec(namespaceSchema),
    };
    const header: TableHeader = {
      name,
      kind: descriptor.kind,
      valueSchema: schemaToJson(storedSchema(descriptor)),
      namespaceSchema: namespaceSchema === undefined ? null : schemaToJson(namespaceSchema),
    };
    const expiryOf = expiryOfStored(descriptor);
    this.#addTable(table, header, (bucket, writer) => {
      const nowMs = expiryOf === undefined ? 0 : this.#params.wallMs();
      let entries = 0;
      for (const cell of bucket.cells) {
        // What has expired as a whole does not come back from a checkpoint.
        if (expiryOf !== undefined && expiryOf(cell.value) <= nowMs) continue;
        writeValueEntry(writer, codecs, cell, codec);
        entries++;
      }
      return entries;
    });
    const identify = namespaceSchema === undefined ? NO_NAMESPACE : keyIdentity(namespaceSchema);
    let decode:
      | { readonly schema: string; readonly read: (reader: ByteReader) => unknown }
      | undefined;
    const fold = foldOf(descriptor);
    let last: { readonly keyId: unknown; readonly cell: Cell } | undefined;
    this.#restoreTable(header, codecs, ({ key, keyGroup, namespace }, reader, stored) => {
      const schema = JSON.stringify(stored.valueSchema);
      if (decode?.schema !== schema)
        decode = {
          schema,
          read: storedDecoder(name, schemaFromJson(stored.valueSchema), descriptor),
        };
      const length = reader.varint();
      const end = reader.position + length;
      const value = decode.read(new ByteReader(reader.buffer, reader.position, end));
      reader.position = end;
      const [keyId, namespaceId] = [this.#identify(key), identify(namespace)];
      // Parts of a fold, from a savepoint, are adjacent.
      if (
        fold !== undefined &&
        last !== undefined &&
        last.keyId === keyId &&
        last.cell.namespaceId === namespaceId
      ) {
        last.cell.value = fold(last.cell.value, value);
        return;
      }
      last = { keyId, cell: new Cell(table, key, keyGroup, namespace, namespaceId, value) };
      table.restore(keyId, last.cell);
    });
    this.#states.set(name, { descriptor, table });
    return buildState({ table, descriptor, identify, wallMs: this.#params.wallMs });
  }

  #addTable(
    table: StateTable,
    header: TableHeader,
    encode: (bucket: Bucket, writer: ByteWriter) => number,
  ): void {
    this.#tableIndex.set(table, this.#tables.length);
    this.#tables.push({
      header,
      buckets: table.buckets,
      groupsOf: (bucket) => this.#layout.groupsOf(bucket),
      encode,
    });
  }

  #restoreTable(
    header: TableHeader,
    codecs: EntryCodecs,
    add: (
      address: { key: unknown; keyGroup: number; namespace: unknown },
      reader: ByteReader,
      stored: TableHeader,
    ) => void,
  ): void {
    for (const file of this.#files) {
      const index = file.tables.findIndex(
        ({ name, kind }) =>
          name === header.name &&
          isTimers(kind) === isTimers(header.kind) &&
          (!isTimers(kind) || kind === header.kind),
      );
      if (index === -1) continue;
      const stored = file.tables[index]!;
      this.#checkTable(stored, header);
      file.claimed.add(index);
      for (const section of file.sections) {
        if (
          section.table !== index ||
          section.end < this.keyGroupRange.start ||
          section.start > this.keyGroupRange.end
        )
          continue;
        const reader = new ByteReader(file.bytes, section.offset, section.offset + section.length);
        for (let i = 0; i < section.entries; i++) {
          const address = readAddress(reader, codecs);
          if (covers(this.keyGroupRange, address.keyGroup)) add(address, reader, stored);
          else skipRest(reader, header);
        }
      }
    }
  }

  #checkTable(stored: TableHeader, header: TableHeader): void {
    const fail = (what: string): never => {
      throw new MillraceError(
        'data',
        'STATE_SCHEMA_INCOMPATIBLE',
        `state "${header.name}" of operator ${this.#params.operatorId} ${what}`,
        { details: { state: header.name } },
      );
    };
    if (stored.kind !== header.kind)
      fail(`was ${stored.kind} state and is ${header.kind} state now`);
    if (JSON.stringify(stored.namespaceSchema) !== JSON.stringify(header.namespaceSchema))
      fail('has another namespace (window) type now');
  }

  #captureBucket(table: StateTable, bucket: Bucket): void {
    const index = this.#tableIndex.get(table)!;
    for (const capture of this.#captures) capture.capture(index, bucket.index);
    bucket.capturedEpoch = this.#context.epoch;
  }
}

const isTimers = (kind: TableHeader['kind']): boolean =>
  kind === 'event-timers' || kind === 'processing-timers';

function encodeTimers(bucket: Bucket, writer: ByteWriter, codecs: EntryCodecs): number {
  for (const cell of bucket.cells) {
    writeAddress(writer, codecs, cell);
    writer.f64(timestampOf(cell));
  }
  return bucket.cells.length;
}

function skipRest(reader: ByteReader, header: TableHeader): void {
  if (isTimers(header.kind)) {
    reader.f64();
  } else {
    const length = reader.varint();
    reader.position += length;
  }
}
