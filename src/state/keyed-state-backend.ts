/**
 * The contract of keyed state: one instance per subtask of a keyed operator, over that subtask's key-group range.
 *
 * Invariants every backend keeps (contract suite: `testing/state-backend-contract.ts`):
 *  B1  State is addressed by (state name, current key, namespace); nothing outside the key-group range is accepted.
 *  B2  `snapshot` captures exactly the state at the call, however it changes before `write` settles.
 *  B3  A restored backend, whatever the old parallelism, holds the entries of its range and nothing else.
 *  B4  Values are immutable to their holders; a backend may hand out the object it stores.
 *  B5  Writes never wait. Neither do reads of what is resident; a backend whose state may be elsewhere has a `residency`, and
 *      whoever runs an operator on it asks `prepare` before what the record reads, and waits for `load` where it says false.
 */
import type { KeyGroupRange } from '../types/key-group.ts';
import type { Schema } from '../types/schema.ts';
import type { StateDescriptor, SyncStateOf } from './descriptor.ts';
import type { KeyedStateHandle, SnapshotReader, SnapshotWriter } from './snapshot.ts';

/** The namespace of states that have none. */
export const VOID_NAMESPACE: unique symbol = Symbol('void namespace');

/** State scoped by a namespace besides the key, such as a window. Without `setNamespace` it is VOID_NAMESPACE. */
export interface Namespaced<N> {
  /** Whether the current key holds anything in the current namespace. */
  readonly exists: boolean;
  setNamespace(namespace: N): void;
  /**
   * Whether all of this state for the current key and namespace can be read without waiting (B5). If not, it is noted for the
   * residency's next `load`. Reading what is not resident is `internal` STATE_NOT_RESIDENT; writes (put, clear) need nothing, nor does `add` for which
   * `prepareAdd` is true.
   */
  prepare(): boolean;
  /**
   * The same for `add` of list, reducing and aggregating state: false only where adding has to read, as with an aggregate function that
   * cannot merge, or with TTL.
   */
  prepareAdd(): boolean;
  /** Map state: the same for one entry. */
  prepareEntry?(userKey: unknown): boolean;
  /**
   * Map state: begins to read entries of the current key in order of their keys, from wherever they are. Until it has been read, the
   * key's state must not be evicted, and nobody else may change it.
   */
  openRange?(range: UserKeyRange, signal: AbortSignal): MapRange;
  /**
   * Folds the values of `sources` into `target` for the current key and clears the sources. List, reducing and
   * aggregating (with `merge`) state only; `internal` STATE_NOT_MERGEABLE otherwise.
   */
  mergeNamespaces(target: N, sources: readonly N[]): void;
}

/** User keys from `from` up to `to`, which is left out; undefined: no bound. */
export interface UserKeyRange {
  readonly from?: unknown;
  readonly to?: unknown;
}

export type UserEntry = readonly [userKey: unknown, value: unknown];

/** First `load`, then `take`, in turns. */
export interface MapRange {
  /** Brings the next entries; undefined when they are in memory. */
  load(): Promise<void> | undefined;
  /** They, as they are now; undefined at the end. The current key must be set. */
  take(): readonly UserEntry[] | undefined;
}

/** State that may have to be fetched before it can be read (B5). */
export interface Residency {
  /** All that there is, is resident: nothing need be prepared. Default false. */
  readonly holdsAll?: boolean;
  /** Entries noted by `prepare` since the last `load`. */
  readonly missing: number;
  /**
   * Loads what `prepare` has noted so far, in one multi-get; several loads may be under way. What arrived stays resident at
   * least until the next `trim`.
   * @throws `unavailable` when the store does not answer within its budget; `data` when what it has is corrupt
   */
  load(signal: AbortSignal): Promise<void>;
  /**
   * Whether writing out is too far behind: then nothing is processed until a `load`, which waits for it, has settled. This is how a slow
   * store becomes backpressure.
   */
  readonly overloaded: boolean;
  /**
   * Evicts down to the memory budget, but nothing of keys that are in use; `keyId` is the key's identity (`keyIdentity`). Never called
   * between a true `prepare` and the record it was for.
   */
  trim(inUse?: (keyId: unknown) => boolean): void;
}

/**
 * How firing timers ended: none is due any more; the limit was reached; or the state that the next ones read has to be loaded first
 * (it is noted: wait for `load`, then call again).
 */
export type TimerProgress = 'done' | 'more' | 'load';

export interface TimerTarget<N> {
  /**
   * Whether what firing this timer reads is resident, as `Namespaced.prepare`. The backend's current key is the timer's.
   * Absent: it reads nothing, or the backend has no residency.
   */
  prepareTimer?(timestamp: number, namespace: N): boolean;
  /** The backend's current key is the timer's key when this runs. */
  onEventTime(timestamp: number, namespace: N): void;
  onProcessingTime(timestamp: number, namespace: N): void;
}

/** Timers of the current key, unique per (key, namespace, timestamp) and time domain. They are state: snapshots carry them. */
export interface InternalTimerService<N> {
  readonly currentWatermark: number;
  registerEventTimeTimer(namespace: N, timestamp: number): void;
  deleteEventTimeTimer(namespace: N, timestamp: number): void;
  registerProcessingTimeTimer(namespace: N, timestamp: number): void;
  deleteProcessingTimeTimer(namespace: N, timestamp: number): void;
  /** Every timer of this service that memory holds: all of them where there is no residency. Any order. */
  forEachTimer(
    domain: 'event' | 'processing',
    visit: (key: unknown, namespace: N, timestamp: number) => void,
  ): void;
}

export interface KeyedStateBackend {
  readonly keyGroupRange: KeyGroupRange;
  readonly maxParallelism: number;
  /** Undefined: everything is resident, always. */
  readonly residency: Residency | undefined;
  readonly currentKey: unknown;
  /** @hot `bench/state.ts`. Sets the key that all states and timers refer to. */
  setCurrentKey(key: unknown): void;
  /** Registers a state under `name`, once; checks it against restored data by schema evolution. */
  getState<D extends StateDescriptor>(
    name: string,
    descriptor: D,
  ): SyncStateOf<D> & Namespaced<typeof VOID_NAMESPACE>;
  getNamespacedState<D extends StateDescriptor, N>(
    name: string,
    descriptor: D,
    namespaceSchema: Schema<N>,
  ): SyncStateOf<D> & Namespaced<N>;
  getTimerService<N>(
    name: string,
    namespaceSchema: Schema<N>,
    target: TimerTarget<N>,
  ): InternalTimerService<N>;
  /**
   * Fires event-time timers with timestamp <= watermark in timestamp order, at most `limit` of them. Unless it returns 'done', call
   * again with the same watermark before anything else is processed.
   */
  advanceWatermark(watermark: number, limit: number): TimerProgress;
  /** The same for processing time; `now` in epoch milliseconds. */
  advanceProcessingTime(now: number, limit: number): TimerProgress;
  /** When the next processing-time timer is due, or +Infinity. */
  nextProcessingTime(): number;
  /**
   * Runs `visit` for every key that holds a value of that state in that namespace, with the current key set to it and that state resident.
   * A promise when keys have to be fetched: until it settles nothing else may use the backend.
   */
  applyToAllKeys<N>(
    name: string,
    namespace: N,
    visit: (key: unknown) => void,
  ): void | Promise<void>;
  /** Captures the state as of now; cheap. `write` encodes and stores it in the background. */
  snapshot(checkpointId: number): PendingSnapshot;
  /** Tells what it has to tell of itself. */
  registerMetrics?(group: GaugeGroup): void;
  /** Names of restored states that nothing has registered: their values would be lost. */
  unclaimedStates(): readonly string[];
  notifyCheckpointComplete(checkpointId: number): void;
  notifyCheckpointAborted(checkpointId: number): void;
  close(): Promise<void>;
}

/** Where metrics go. */
export interface GaugeGroup {
  /** `read` is called when metrics are reported. */
  gauge(name: string, read: () => number): void;
}

export interface PendingSnapshot {
  /** Settles when the handle's bytes are durable. */
  write(writer: SnapshotWriter): Promise<KeyedStateHandle>;
  /** Gives the capture up. */
  discard(): void;
}

export interface KeyedBackendParams {
  readonly operatorId: string;
  /** Unique for this try of this subtask; in the name of every object that it writes. */
  readonly attemptId: string;
  readonly keySchema: Schema<unknown>;
  readonly keyGroupRange: KeyGroupRange;
  readonly maxParallelism: number;
  /** Handles that intersect the range, from any old parallelism; empty on a fresh start. */
  readonly restore: readonly KeyedStateHandle[];
  readonly reader: SnapshotReader;
  /** Wall clock, for TTL. */
  readonly wallMs: () => number;
  /** Lets other work run between slices of a snapshot. */
  readonly yieldToLoop: () => Promise<void>;
  /** False refuses `generic` schemas in state with `invalid` GENERIC_STATE_TYPE. Default option `pipeline.generic-types`. */
  readonly allowGenericTypes: boolean;
}

export interface StateBackend {
  readonly name: string;
  createKeyed(params: KeyedBackendParams): Promise<KeyedStateBackend>;
  /** Gives up what its keyed backends shared, after they have been closed. */
  close?(): Promise<void>;
}
