/**
 * A state backend for tests of asynchronous execution: another one, by default the heap's, but entries have to be fetched before they are
 * read, which takes a given or random time, and are forgotten again at random. Reading what has not been fetched throws, as with a backend
 * whose state is elsewhere.
 */
import { asError } from '../base/errors.ts';
import type { Timers } from '../base/world.ts';
import type { StateDescriptor, SyncStateOf } from '../state/descriptor.ts';
import { HashMapStateBackend } from '../state/hashmap/hashmap-backend.ts';
import type {
  InternalTimerService,
  KeyedBackendParams,
  KeyedStateBackend,
  Namespaced,
  PendingSnapshot,
  Residency,
  StateBackend,
  TimerProgress,
  TimerTarget,
  VOID_NAMESPACE,
} from '../state/keyed-state-backend.ts';
import { keyIdentity } from '../types/key-codec.ts';
import type { KeyGroupRange } from '../types/key-group.ts';
import type { Schema } from '../types/schema.ts';
import { type AnyState, type Nearness, SlowState } from './slow-state.ts';

export interface SlowStateOptions {
  /** In [0, 1). */
  readonly random: () => number;
  /** The share of entries that each eviction takes. */
  readonly evictedShare: number;
  /** Undefined: loads take no time. */
  readonly timers?: Timers;
  readonly latencyLeastMs?: number;
  readonly latencyMostMs?: number;
  /** Default the heap. */
  readonly inner?: StateBackend;
}

export class SlowStateBackend implements StateBackend {
  readonly name: string;
  readonly #options: SlowStateOptions;
  readonly #inner: StateBackend;

  constructor(options: SlowStateOptions) {
    this.#options = options;
    this.#inner = options.inner ?? new HashMapStateBackend();
    this.name = this.#inner.name;
  }

  async close(): Promise<void> {
    await this.#inner.close?.();
  }

  async createKeyed(params: KeyedBackendParams): Promise<SlowKeyedBackend> {
    return new SlowKeyedBackend(params, await this.#inner.createKeyed(params), this.#options);
  }
}

type Domain = 'event' | 'processing';

interface Service {
  readonly timers: InternalTimerService<unknown>;
  readonly target: TimerTarget<unknown>;
}

interface DueTimer {
  readonly service: Service;
  readonly key: unknown;
  readonly namespace: unknown;
  readonly timestamp: number;
}

export class SlowKeyedBackend implements KeyedStateBackend, Residency, Nearness {
  readonly #inner: KeyedStateBackend;
  readonly #options: SlowStateOptions;
  readonly #identify: (key: unknown) => unknown;
  /** With the key of each. */
  readonly #near = new Map<string, unknown>();
  readonly #states = new Map<string, SlowState>();
  readonly #services: Service[] = [];
  #noted = new Map<string, unknown>();
  keyId: unknown;

  constructor(params: KeyedBackendParams, inner: KeyedStateBackend, options: SlowStateOptions) {
    this.#inner = inner;
    this.#options = options;
    this.#identify = keyIdentity(params.keySchema);
  }

  get residency(): Residency {
    return this;
  }

  get keyGroupRange(): KeyGroupRange {
    return this.#inner.keyGroupRange;
  }

  get maxParallelism(): number {
    return this.#inner.maxParallelism;
  }

  get currentKey(): unknown {
    return this.#inner.currentKey;
  }

  get missing(): number {
    return this.#noted.size + (this.#inner.residency?.missing ?? 0);
  }

  get overloaded(): boolean {
    return this.#inner.residency?.overloaded ?? false;
  }

  has(id: string): boolean {
    return this.#near.has(id);
  }

  add(id: string): void {
    this.#near.set(id, this.keyId);
  }

  note(id: string): void {
    this.#noted.set(id, this.keyId);
  }

  async load(signal: AbortSignal): Promise<void> {
    const noted = this.#noted;
    this.#noted = new Map();
    await Promise.all([this.pause(signal), this.#inner.residency?.load(signal)]);
    for (const [id, keyId] of noted) this.#near.set(id, keyId);
  }

  /** The load of a test that does not wait. */
  loadNow(): void {
    for (const [id, keyId] of this.#noted) this.#near.set(id, keyId);
    this.#noted.clear();
  }

  trim(inUse: (keyId: unknown) => boolean = () => false): void {
    for (const [id, keyId] of this.#near)
      if (this.#options.random() < this.#options.evictedShare && !inUse(keyId))
        this.#near.delete(id);
    this.#inner.residency?.trim(inUse);
  }

  setCurrentKey(key: unknown): void {
    this.#inner.setCurrentKey(key);
    this.keyId = this.#identify(key);
  }

  getState<D extends StateDescriptor>(
    name: string,
    descriptor: D,
  ): SyncStateOf<D> & Namespaced<typeof VOID_NAMESPACE> {
    const inner = this.#inner.getState(name, descriptor) as unknown as AnyState; // has what its kind has
    return this.#wrap(name, descriptor, inner, undefined) as never; // as above
  }

  getNamespacedState<D extends StateDescriptor, N>(
    name: string,
    descriptor: D,
    namespaceSchema: Schema<N>,
  ): SyncStateOf<D> & Namespaced<N> {
    const inner = this.#inner.getNamespacedState(name, descriptor, namespaceSchema);
    return this.#wrap(name, descriptor, inner as unknown as AnyState, namespaceSchema) as never; // has what its kind has
  }

  getTimerService<N>(
    name: string,
    namespaceSchema: Schema<N>,
    target: TimerTarget<N>,
  ): InternalTimerService<N> {
    const keyed: TimerTarget<N> = {
      onEventTime: (timestamp, namespace) => {
        this.keyId = this.#identify(this.currentKey);
        target.onEventTime(timestamp, namespace);
      },
      onProcessingTime: (timestamp, namespace) => {
        this.keyId = this.#identify(this.currentKey);
        target.onProcessingTime(timestamp, namespace);
      },
    };
    const timers = this.#inner.getTimerService(name, namespaceSchema, keyed);
    this.#services.push({ timers, target } as unknown as Service); // namespaces are opaque here
    return timers;
  }

  advanceWatermark(watermark: number, limit: number): TimerProgress {
    return this.#fire('event', watermark, limit);
  }

  advanceProcessingTime(now: number, limit: number): TimerProgress {
    return this.#fire('processing', now, limit);
  }

  nextProcessingTime(): number {
    return this.#inner.nextProcessingTime();
  }

  async applyToAllKeys<N>(
    name: string,
    namespace: N,
    visit: (key: unknown) => void,
  ): Promise<void> {
    await this.pause(new AbortController().signal);
    const state = this.#states.get(name);
    await this.#inner.applyToAllKeys(name, namespace, (key) => {
      this.keyId = this.#identify(key);
      state?.admit();
      visit(key);
    });
  }

  snapshot(checkpointId: number): PendingSnapshot {
    return this.#inner.snapshot(checkpointId);
  }

  unclaimedStates(): readonly string[] {
    return this.#inner.unclaimedStates();
  }

  notifyCheckpointComplete(checkpointId: number): void {
    this.#inner.notifyCheckpointComplete(checkpointId);
  }

  notifyCheckpointAborted(checkpointId: number): void {
    this.#inner.notifyCheckpointAborted(checkpointId);
  }

  close(): Promise<void> {
    return this.#inner.close();
  }

  #wrap(
    name: string,
    descriptor: StateDescriptor,
    inner: AnyState,
    namespaceSchema: Schema<unknown> | undefined,
  ): SlowState {
    const state = new SlowState({ name, inner, near: this, descriptor, namespaceSchema });
    this.#states.set(name, state);
    return state;
  }

  #fire(domain: Domain, until: number, limit: number): TimerProgress {
    // The inner one may have timers to restore first.
    if (this.#advance(domain, until, 0) === 'load') return 'load';
    for (let left = limit; left > 0; left--) {
      const due = this.#due(domain, until);
      // Nothing lives that is due; the inner one drops deleted timers only when it looks for one to fire.
      if (due.length === 0) return this.#advance(domain, until, 1);
      const first = Math.min(...due.map(({ timestamp }) => timestamp));
      const next = due.filter(({ timestamp }) => timestamp === first);
      if (!this.#prepareAll(next)) {
        this.#prepareAll(due);
        return 'load';
      }
      this.#advance(domain, until, 1);
    }
    return 'more';
  }

  #advance(domain: Domain, until: number, limit: number): TimerProgress {
    return domain === 'event'
      ? this.#inner.advanceWatermark(until, limit)
      : this.#inner.advanceProcessingTime(until, limit);
  }

  #prepareAll(timers: readonly DueTimer[]): boolean {
    let ready = true;
    for (const { service, key, namespace, timestamp } of timers) {
      this.setCurrentKey(key);
      if (service.target.prepareTimer?.(timestamp, namespace) === false) ready = false;
    }
    return ready;
  }

  #due(domain: Domain, until: number): readonly DueTimer[] {
    const due: DueTimer[] = [];
    for (const service of this.#services)
      service.timers.forEachTimer(domain, (key, namespace, timestamp) => {
        if (timestamp <= until) due.push({ service, key, namespace, timestamp });
      });
    return due;
  }

  pause(signal: AbortSignal): Promise<void> {
    const { timers, random, latencyLeastMs = 0, latencyMostMs = 0 } = this.#options;
    if (timers === undefined) return Promise.resolve();
    const delayMs = latencyLeastMs + random() * (latencyMostMs - latencyLeastMs);
    return new Promise((resolve, reject) => {
      const aborted = (): void => {
        timer.cancel();
        reject(asError(signal.reason));
      };
      const timer = timers.after(delayMs, () => {
        signal.removeEventListener('abort', aborted);
        resolve();
      });
      if (signal.aborted) aborted();
      else signal.addEventListener('abort', aborted, { once: true });
    });
  }
}
