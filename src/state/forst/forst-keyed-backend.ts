/**
 * Keyed state whose primary copy is on the object store: an object cache of live values in front of two trees, one of values and one of
 * timers (Flink's ForSt backend and its disaggregated state, FLIP-423 and FLIP-427, are the model).
 *
 * Owns the key context, the caches of its states, the write-back and both trees. Shares with the worker's other backends the block
 * source, the files and the memory budget.
 *
 * Invariants
 *  F1  At a barrier nothing is encoded or copied: lists are swapped, memtables change. What is dirty is written in slices behind it.
 *  F2  A snapshot names files only, and all of them are durable when it is acknowledged.
 *  F3  A restored backend reads manifests, nothing else; values and tables come when they are needed.
 *  F4  With a changelog, what a barrier finds not written out is what `tailBytesMax` allows, and what has changed since the last `trim`.
 */
import { invalid, MillraceError } from '../../base/errors.ts';
import { ByteReader, ByteWriter, copyOf } from '../../base/bytes.ts';
import type { LsmTree } from '../../lsm/lsm-tree.ts';
import { checkCompatibility } from '../../types/evolution.ts';
import { keyCodec, keyIdentity } from '../../types/key-codec.ts';
import type { KeyGroupRange } from '../../types/key-group.ts';
import { schemaFromJson, schemaToJson } from '../../types/schema-json.ts';
import { INTEGER_KINDS, NUMBER_KINDS } from '../../types/schema-kinds.ts';
import type { Schema } from '../../types/schema.ts';
import { buildState } from '../cells/build-state.ts';
import { foldOf } from '../cells/fold-of.ts';
import { CellContext } from '../cells/cell-context.ts';
import { elementSchema, hasTtl, refuseGeneric, storedSchema } from '../cells/stored-value.ts';
import { expiryOfStored } from '../cells/stored-expiry.ts';
import { UserKeyOrder } from '../cells/user-key-order.ts';
import { type Stamped, TtlMapState, TtlRule } from '../cells/ttl-states.ts';
import type { MapStateDescriptor, StateDescriptor, SyncStateOf } from '../descriptor.ts';
import type {
  GaugeGroup,
  InternalTimerService,
  KeyedBackendParams,
  KeyedStateBackend,
  Namespaced,
  PendingSnapshot,
  Residency,
  TimerProgress,
  TimerTarget,
  VOID_NAMESPACE,
} from '../keyed-state-backend.ts';
import { CellCache } from './cell-cache.ts';
import { registerGauges } from './forst-metrics.ts';
import type { ForstCell } from './forst-cell.ts';
import { ForstSnapshot } from './forst-snapshot.ts';
import type { ForstWorker } from './forst-worker.ts';
import { type WarmTable, warmUp } from './hot-blocks.ts';
import { Loads } from './loads.ts';
import { KeySamples } from '../key-samples.ts';
import type { HotKeys, Manifest } from './manifest.ts';
import { MapCache } from './map-cache.ts';
import { boundsOf, parseStateKey, StateKeyWriter } from './state-key.ts';
import { StateRegistry } from './state-registry.ts';
import { StateValues } from './state-values.ts';
import { ForstTimers } from './forst-timers.ts';
import { TIMER_BYTES } from './timer-table.ts';
import { WriteBack } from './write-back.ts';

/** Keys visited between two looks at other work. */
const SCAN_BATCH = 1024;
/** Of the hottest keys that a manifest tells. */
const HOT_KEYS_MAX = 32;
/** Timers in memory, however little there is of it. */
const TIMERS_LEAST = 1024;

export interface RestoredTrees {
  readonly manifests: readonly Manifest[];
  readonly data: LsmTree;
  readonly timers: LsmTree;
  /** What was hot when the state was written. */
  readonly warm: readonly WarmTable[];
}

export class ForstKeyedBackend implements KeyedStateBackend, Residency {
  readonly keyGroupRange: KeyGroupRange;
  readonly maxParallelism: number;
  readonly #params: KeyedBackendParams;
  readonly #worker: ForstWorker;
  readonly #context: CellContext<ForstCell>;
  readonly #registry: StateRegistry;
  readonly #writeBack: WriteBack;
  readonly #loads: Loads;
  readonly #data: LsmTree;
  readonly #timerTree: LsmTree;
  readonly #keyCodec;
  readonly #states = new Map<string, CellCache | MapCache>();
  readonly #timers: ForstTimers;
  readonly #samples = new KeySamples();
  #watermark = Number.NEGATIVE_INFINITY;
  #snapshot: ForstSnapshot | undefined;
  #flushFailure: unknown;
  /** Times that writers waited for compaction. */
  #writeStops = 0;
  readonly #abort = new AbortController();

  constructor(params: KeyedBackendParams, worker: ForstWorker, restored: RestoredTrees) {
    this.#params = params;
    this.#worker = worker;
    this.keyGroupRange = params.keyGroupRange;
    this.maxParallelism = params.maxParallelism;
    this.#context = new CellContext<ForstCell>(params);
    this.#keyCodec = keyCodec(params.keySchema);
    this.#registry = new StateRegistry(
      params.operatorId,
      restored.manifests.map(({ states }) => states),
    );
    this.#data = restored.data;
    this.#timerTree = restored.timers;
    this.#writeBack = new WriteBack(
      () => worker.cacheBytesOf(this) - this.#timers.bytes,
      this.#data.version.runs.length === 0 && this.#data.unflushedEntries === 0,
    );
    this.#loads = new Loads(this.#data, this.#writeBack);
    this.#timers = new ForstTimers({
      backend: params,
      context: this.#context,
      tree: this.#timerTree,
      writeBack: this.#writeBack,
      registry: this.#registry,
      keysOf: (state, namespaceSchema) => this.#keysWriter(state, namespaceSchema, undefined),
      watermark: () => this.#watermark,
      most: () => worker.timersMost ?? this.#timersAffordable(),
    });
    worker.register(this);
    void warmUp(this.#data, restored.warm, this.#abort.signal);
  }

  get residency(): Residency {
    return this;
  }

  get currentKey(): unknown {
    return this.#context.key;
  }

  /** Memory of live values. */
  get cachedBytes(): number {
    return this.#writeBack.bytes + this.#timers.bytes;
  }

  /** Memory of memtables, indexes and filters. */
  get treeBytes(): number {
    return this.#data.bytesInMemory + this.#timerTree.bytesInMemory;
  }

  /** @hot */
  setCurrentKey(key: unknown): void {
    this.#context.set(key);
  }

  getState<D extends StateDescriptor>(
    name: string,
    descriptor: D,
  ): SyncStateOf<D> & Namespaced<typeof VOID_NAMESPACE> {
    return this.#register(name, descriptor, undefined) as SyncStateOf<D> &
      Namespaced<typeof VOID_NAMESPACE>; // made by the kind that the descriptor names
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
    return this.#timers.register(name, namespaceSchema, target);
  }

  advanceWatermark(watermark: number, limit: number): TimerProgress {
    this.#watermark = watermark;
    return this.#timers.fire('event', watermark, limit);
  }

  advanceProcessingTime(now: number, limit: number): TimerProgress {
    return this.#timers.fire('processing', now, limit);
  }

  nextProcessingTime(): number {
    return this.#timers.next('processing');
  }

  async applyToAllKeys<N>(
    name: string,
    namespace: N,
    visit: (key: unknown) => void,
  ): Promise<void> {
    const state = this.#states.get(name);
    if (state === undefined) throw invalid('UNKNOWN_STATE', `no state "${name}" is registered`);
    const wanted = namespace === undefined || typeof namespace === 'symbol' ? undefined : namespace;
    for (const key of await this.#keysOf(name, wanted)) {
      this.setCurrentKey(key);
      while (!state.prepare(wanted, wanted)) await this.load(this.#abort.signal);
      visit(key);
    }
  }

  snapshot(checkpointId: number): PendingSnapshot {
    // Rare: the last one is still being written. Its epoch ends here.
    void this.#snapshot?.end();
    this.#writeBack.beginEpoch();
    this.#data.beginEpoch();
    this.#timerTree.beginEpoch();
    const snapshot = new ForstSnapshot({
      checkpointId,
      operatorId: this.#params.operatorId,
      keyGroups: this.keyGroupRange,
      base: {
        keySchema: schemaToJson(this.#params.keySchema),
        maxParallelism: this.maxParallelism,
        states: this.#registry.states,
        hotKeys: this.#hotKeys(),
      },
      writeBack: this.#writeBack,
      data: this.#data,
      timers: this.#timerTree,
      yieldToLoop: this.#params.yieldToLoop,
      publish: (files) => this.#worker.publish(files),
      ended: (ended) => {
        if (this.#snapshot === ended) this.#snapshot = undefined;
      },
    });
    this.#snapshot = snapshot;
    this.#samples.age();
    return snapshot;
  }

  registerMetrics(group: GaugeGroup): void {
    const writeBack = this.#writeBack;
    registerGauges(group, {
      ...this.#worker.gaugesOf(this, [this.#data, this.#timerTree]),
      'objectCache.usedBytes': () => writeBack.bytes,
      'objectCache.num-entries': () => writeBack.cells,
      'objectCache.num-evicted-dirty': () => writeBack.evictions,
      'timers.num-in-memory': () => this.#timers.size,
      'num-write-stops': () => this.#writeStops,
    });
  }

  unclaimedStates(): readonly string[] {
    return this.#registry.unclaimed();
  }

  notifyCheckpointComplete(): void {}

  notifyCheckpointAborted(): void {}

  get missing(): number {
    return this.#loads.missing;
  }

  get holdsAll(): boolean {
    return this.#writeBack.holdsAll;
  }

  get overloaded(): boolean {
    const worker = this.#worker;
    return worker.holdsTooMuch || worker.isStalled(this.#data) || worker.isStalled(this.#timerTree);
  }

  async load(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#loads.load(signal), this.#timers.load(signal), this.#relieve()]);
  }

  trim(inUse?: (keyId: unknown) => boolean): void {
    // The last key of a batch stands for the batch.
    const { keyId, key } = this.#context;
    if (key !== undefined) this.#samples.add(keyId, key);
    this.#timers.trim();
    this.#writeBack.evict(inUse);
    const { tailBytesMax } = this.#worker;
    if (tailBytesMax !== undefined) this.#writeAhead(tailBytesMax);
    this.#worker.sealIfNeeded();
    this.#writeOut();
    this.#worker.compactIfNeeded(this.#data);
    this.#worker.compactIfNeeded(this.#timerTree);
  }

  async close(): Promise<void> {
    this.#abort.abort();
    this.#timers.close();
    this.#worker.unregister(this);
    this.#snapshot?.discard();
    this.#worker.closeTree(this.#data);
    this.#worker.closeTree(this.#timerTree);
  }

  #hotKeys(): HotKeys {
    const keys = this.#samples.hottest(HOT_KEYS_MAX).map(({ key, samples }) => {
      const writer = new ByteWriter(64);
      this.#keyCodec.encode(key, writer);
      return { key: Buffer.from(writer.take()).toString('base64'), samples };
    });
    return { samples: this.#samples.total, keys };
  }

  /** F4. Half of the tail is changes that no tree has seen, by the memory of a mean cell; half is memtables. */
  #writeAhead(tailBytesMax: number): void {
    const cells = Math.max(1, this.#writeBack.cells + this.#timers.size);
    const cellBytes = Math.max(1, this.cachedBytes / cells);
    this.#writeBack.writeAhead(Math.floor(tailBytesMax / 2 / cellBytes));
    const [data, timers] = [this.#data, this.#timerTree];
    if (data.activeBytes + timers.activeBytes <= tailBytesMax / 2) return;
    if (data.activeBytes > timers.activeBytes) data.seal();
    else timers.seal();
  }

  /** Begins to write out memtables that are full; failures are met again at the checkpoint, or when memory runs out. */
  #writeOut(): void {
    for (const tree of [this.#data, this.#timerTree]) {
      if (tree.sealedMemtables === 0) continue;
      tree.flush().then(
        () => {
          this.#flushFailure = undefined;
        },
        (error: unknown) => {
          this.#flushFailure = error;
        },
      );
    }
  }

  /** Waits while too much has not been written out. @throws what writing out failed with */
  async #relieve(): Promise<void> {
    await this.#worker.relieve();
    for (const tree of [this.#data, this.#timerTree]) {
      const stall = this.#worker.stallOf(tree);
      if (stall !== undefined) this.#writeStops++;
      await stall;
    }
    if (this.#flushFailure !== undefined && this.#worker.holdsTooMuch) throw this.#flushFailure;
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
    return descriptor.kind === 'map'
      ? this.#registerMap(name, descriptor, namespaceSchema)
      : this.#registerCells(name, descriptor, namespaceSchema);
  }

  #registerCells(
    name: string,
    descriptor: Exclude<StateDescriptor, MapStateDescriptor<unknown, unknown>>,
    namespaceSchema: Schema<unknown> | undefined,
  ): unknown {
    const { number, schemas } = this.#registry.register({
      name,
      kind: descriptor.kind,
      schema: storedSchema(descriptor),
      namespaceSchema,
      userKeySchema: undefined,
    });
    const expiryOf = expiryOfStored(descriptor);
    const table = new CellCache({
      name,
      context: this.#context,
      tree: this.#data,
      writeBack: this.#writeBack,
      loads: this.#loads,
      keys: this.#keysWriter(number, namespaceSchema, undefined),
      values: new StateValues(name, schemas),
      fold: foldOf(descriptor),
      ...(expiryOf === undefined ? {} : { expiryOf }),
    });
    this.#states.set(name, table);
    const identify = namespaceSchema === undefined ? () => undefined : keyIdentity(namespaceSchema);
    return buildState({ table, descriptor, identify, wallMs: this.#params.wallMs });
  }

  #registerMap(
    name: string,
    descriptor: MapStateDescriptor<unknown, unknown>,
    namespaceSchema: Schema<unknown> | undefined,
  ): unknown {
    const { number, schemas } = this.#registry.register({
      name,
      kind: 'map',
      schema: elementSchema(descriptor),
      namespaceSchema,
      userKeySchema: descriptor.keySchema,
    });
    const ttlMs = hasTtl(descriptor) ? descriptor.ttl!.ttlMs : undefined;
    const cache = new MapCache({
      name,
      context: this.#context,
      tree: this.#data,
      writeBack: this.#writeBack,
      loads: this.#loads,
      keys: this.#keysWriter(number, namespaceSchema, descriptor.keySchema),
      values: new StateValues(name, schemas),
      userKeyCodec: keyCodec(descriptor.keySchema),
      userKeyOrder: new UserKeyOrder(descriptor.keySchema),
      identifyUserKey: keyIdentity(descriptor.keySchema),
      integerKeys: INTEGER_KINDS.has(descriptor.keySchema.kind),
      plainValues: isPlain(elementSchema(descriptor).kind),
      identifyNamespace:
        namespaceSchema === undefined ? () => undefined : keyIdentity(namespaceSchema),
      ...(ttlMs === undefined ? {} : { expiryOf: (value) => (value as Stamped).touchedMs + ttlMs }), // TtlMapState stores these
    });
    this.#states.set(name, cache);
    if (ttlMs === undefined) return cache;
    return new TtlMapState(cache, new TtlRule(descriptor.ttl!, this.#params.wallMs));
  }

  #keysWriter(
    state: number,
    namespaceSchema: Schema<unknown> | undefined,
    userKeySchema: Schema<unknown> | undefined,
  ): StateKeyWriter {
    return new StateKeyWriter({
      state,
      key: this.#keyCodec,
      namespace: namespaceSchema === undefined ? undefined : keyCodec(namespaceSchema),
      userKey: userKeySchema === undefined ? undefined : keyCodec(userKeySchema),
    });
  }

  /** Half of what live values and timers may take. */
  #timersAffordable(): number {
    const bytes = this.#worker.cacheBytesOf(this) / 2;
    return Math.max(TIMERS_LEAST, Math.floor(bytes / TIMER_BYTES));
  }

  /** Keys that hold a value of a state in a namespace: those in the tree once everything has been written to it. */
  async #keysOf(name: string, namespace: unknown): Promise<readonly unknown[]> {
    const state = this.#registry.states.find(
      (other) => other.name === name && !other.kind.endsWith('-timers'),
    )!;
    const wanted = this.#namespaceBytes(state.namespaceSchema, namespace);
    const found = new Map<unknown, unknown>();
    const identify = keyIdentity(this.#params.keySchema);
    this.#writeBack.writeAll();
    const { smallest } = boundsOf(this.keyGroupRange);
    const scan = await this.#data.scanRange(smallest, undefined, this.#abort.signal);
    for (;;) {
      const batch = await scan.next(SCAN_BATCH);
      if (batch.length === 0) return [...found.values()];
      for (const { key: bytes } of batch) {
        const parts = parseStateKey(bytes);
        if (parts.state !== state.number || Buffer.compare(parts.namespace, wanted) !== 0) continue;
        const key = this.#keyCodec.decode(new ByteReader(parts.key));
        found.set(identify(key), key);
      }
    }
  }

  #namespaceBytes(schema: Manifest['keySchema'], namespace: unknown): Uint8Array {
    if (schema === null) return new Uint8Array(0);
    const writer = new StateKeyWriter({
      state: 0,
      key: { encode: () => {}, decode: () => undefined },
      namespace: keyCodec(schemaFromJson(schema)),
    });
    return copyOf(parseStateKey(writer.write(0, namespace, undefined)).namespace);
  }
}

/** @throws `data` KEY_SCHEMA_INCOMPATIBLE */
export function checkKeySchema(params: KeyedBackendParams, { keySchema }: Manifest): void {
  const compatibility = checkCompatibility(schemaFromJson(keySchema), params.keySchema);
  if (compatibility.outcome === 'as-is') return;
  const reasons =
    compatibility.outcome === 'incompatible' ? compatibility.reasons : ['keys cannot be migrated'];
  throw new MillraceError(
    'data',
    'KEY_SCHEMA_INCOMPATIBLE',
    `the keys of operator ${params.operatorId} changed: ${reasons.join('; ')}`,
    { details: { operator: params.operatorId, reasons } },
  );
}

/** Values take no memory beside their place. */
const isPlain = (kind: string): boolean => NUMBER_KINDS.has(kind) || kind === 'boolean';
