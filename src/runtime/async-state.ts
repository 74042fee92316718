/**
 * Asynchronous state of a task: drives the execution controller, loads what it lacks, resumes functions that wait for loads, saves what
 * waits at barriers and brings it back.
 *
 * Exists only where the backend has a residency, the operator's functions may suspend, or records that waited have been restored.
 *
 * Invariants
 *  W1  State is evicted only between batches, and never what a record that can run now is about to read.
 *  W2  A barrier waits for functions that have begun, and for nothing else: records that wait are captured with the state, and run after a
 *      restore before anything else.
 *  W3  Watermarks do not go back: after a restore, those below one that was saved tell nothing.
 */
import type { Clock } from '../base/world.ts';
import type { OperatorContext, Suspensions } from '../operators/contract.ts';
import {
  AsyncExecutionController,
  type ControllerTarget,
} from '../state/async-execution-controller.ts';
import type { InputNumber } from '../state/waiting-keys.ts';
import type { Residency } from '../state/keyed-state-backend.ts';
import type {
  KeyedStateHandle,
  SnapshotReader,
  SnapshotWriter,
  StateHandle,
} from '../state/snapshot.ts';
import {
  decodeWaiting,
  encodeWaiting,
  type InputCodecs,
  type SavedItem,
} from '../state/waiting-records.ts';
import { asError } from '../base/errors.ts';
import type { JsonValue } from '../base/json.ts';
import type { KeyGroupRange } from '../types/key-group.ts';
import { MIN_WATERMARK, type RecordBatch } from '../types/record-batch.ts';
import { LoadPolicy } from './load-policy.ts';
import { RecordSizes } from './record-sizes.ts';
import type { CheckpointBarrier, StreamElement } from './stream-element.ts';

/** What takes effect between records. */
export type Marker =
  | { readonly kind: 'watermark'; readonly watermark: number }
  | { readonly kind: 'status'; readonly idle: boolean }
  | { readonly kind: 'latency'; readonly element: StreamElement }
  /** One after which the job stops: what waits is processed in this run. */
  | { readonly kind: 'barrier'; readonly barrier: CheckpointBarrier; readonly alignmentMs: number }
  | { readonly kind: 'end-of-input'; readonly input: InputNumber; readonly all: boolean };

export interface AsyncStateParams {
  readonly target: Omit<ControllerTarget<Marker>, 'bytesPerRecord' | 'holdsAll'>;
  /** Undefined: everything is resident. */
  readonly residency: Residency | undefined;
  readonly identify: (key: unknown) => unknown;
  readonly keyGroupOf: (key: unknown) => number;
  readonly codecOf: InputCodecs;
  readonly config: Readonly<Record<string, JsonValue>>;
  readonly metrics: OperatorContext['metrics'];
  readonly clock: Clock;
  readonly wake: () => void;
  readonly fail: (error: unknown) => void;
  readonly signal: AbortSignal;
}

export interface WaitingCapture {
  /** Undefined: nothing waited. */
  write(writer: SnapshotWriter): Promise<StateHandle | undefined>;
}

const NOTHING: WaitingCapture = { write: async () => undefined };
/** More than one CPU processes in 23 ms, the latency of object storage, and the time that loads gather: `bench -- aec`. */
const IN_FLIGHT_DEFAULT = 60_000;
const BYTES_IN_FLIGHT_DEFAULT = 64 * 1024 * 1024;
const BUFFER_DEFAULT = 1000;
const BUFFER_TIMEOUT_DEFAULT_MS = 1000;

type Resume = (error?: unknown) => void;

export class AsyncState implements Suspensions {
  readonly controller: AsyncExecutionController<Marker>;
  readonly #params: AsyncStateParams;
  readonly #policy: LoadPolicy;
  readonly #loading = new Set<Promise<void>>();
  /** Functions that wait for the next load. */
  #resumes: Resume[] = [];
  /** While a barrier waits for functions: told of everything that happens. */
  #changed: (() => void) | undefined;
  /** Milliseconds that keys have waited for loads, and how many have. */
  #waitedMs = 0;
  #waitedKeys = 0;
  readonly #loads;
  readonly #loadedEntries;
  #watermark = MIN_WATERMARK;

  constructor(params: AsyncStateParams) {
    this.#params = params;
    const { config, metrics } = params;
    const sizes = new RecordSizes(params.codecOf);
    this.controller = new AsyncExecutionController(
      {
        ...params.target,
        holdsAll: () => params.residency?.holdsAll === true,
        bytesPerRecord: (input, batch) => sizes.bytesPerRecord(input, batch),
      },
      {
        inFlightMax: Number(
          config['execution.async-state.in-flight-records-limit'] ?? IN_FLIGHT_DEFAULT,
        ),
        bytesInFlightMax: Number(
          config['execution.async-state.in-flight-bytes-limit'] ?? BYTES_IN_FLIGHT_DEFAULT,
        ),
      },
      params.identify,
    );
    this.#policy = new LoadPolicy({
      batchMax: Number(config['execution.async-state.buffer-size'] ?? BUFFER_DEFAULT),
      timeoutMs: Number(
        config['execution.async-state.buffer-timeout'] ?? BUFFER_TIMEOUT_DEFAULT_MS,
      ),
    });
    this.#loads = metrics.counter('asyncStateProcessing.numLoads');
    this.#loadedEntries = metrics.counter('asyncStateProcessing.numEntriesLoaded');
    this.#registerGauges(metrics);
  }

  #registerGauges(metrics: OperatorContext['metrics']): void {
    const { controller } = this;
    const gauge = (name: string, read: () => number): void =>
      metrics.gauge(`asyncStateProcessing.${name}`, read);
    gauge('numInFlightRecords', () => controller.inFlight);
    gauge('numInFlightBytes', () => controller.bytesInFlight);
    gauge('numBlockingKeys', () => controller.blockedKeys);
    gauge('numRunningFunctions', () => controller.running);
    gauge('numRecordsDeferred', () => controller.deferredRecords);
    gauge('numLoadsInFlight', () => this.#policy.loadsInFlight);
    gauge('loadTimeMs', () => this.#policy.averageMs);
    gauge('keyWaitTimeMs', () => this.#waitedMs / Math.max(1, this.#waitedKeys));
  }

  begin(key: unknown, start: () => void): void {
    this.controller.begin(key, start);
  }

  end(key: unknown): void {
    this.controller.end(key);
    this.#changed?.();
    this.#params.wake();
  }

  /** What runs on the heap never calls it. */
  afterLoad(resume: Resume): void {
    this.#resumes.push(resume);
    this.#changed?.();
    this.#params.wake();
  }

  /** Until no function runs. Nothing may be handed over meanwhile. */
  async finishFunctions(): Promise<void> {
    while (this.controller.running > 0) {
      const changed = new Promise<void>((resolve) => {
        this.#changed = resolve;
      });
      this.settle(true);
      await Promise.race([changed, aborted(this.#params.signal)]);
    }
    this.#changed = undefined;
  }

  offer(input: InputNumber, batch: RecordBatch<unknown>): void {
    this.controller.offer(input, batch);
  }

  /** W3 */
  offerWatermark(watermark: number): void {
    if (watermark <= this.#watermark) return;
    this.#watermark = watermark;
    this.controller.offerMarker({ kind: 'watermark', watermark });
  }

  /** Begins the loads that are worth while; evicts where that is safe. `starved`: the task has no other work. */
  settle(starved: boolean): void {
    const { residency } = this.#params;
    if (residency === undefined) return;
    const { controller } = this;
    if (controller.mayTrim) residency.trim((id) => controller.needs(id));
    // What is behind with writing is waited for by the load.
    if (residency.overloaded && controller.urgent === 'none') controller.pauseForLoad();
    const urgent = controller.urgent === 'noted';
    const missing = residency.missing + controller.lackingKeys + this.#resumes.length;
    if (!urgent && missing === 0) return;
    const nowMs = this.#params.clock.monotonicMs();
    if (this.#policy.wants({ missing, nowMs, urgent, starved })) this.#load(residency, nowMs);
  }

  /** W2. At a barrier, at once. */
  capture(): WaitingCapture {
    const items: SavedItem[] = [...this.#restored];
    const { keyGroupOf, codecOf } = this.#params;
    for (const item of this.controller.waiting()) {
      if (item.kind === 'batch') {
        const keyGroups = item.keys!.map(keyGroupOf); // what has no key has been run before
        items.push({ kind: 'batch', input: item.input, batch: item.batch, keyGroups });
      } else if (item.marker.kind === 'watermark') {
        items.push({ kind: 'watermark', watermark: item.marker.watermark });
      }
    }
    if (items.length === 0) return NOTHING;
    return { write: (writer) => writer.write('waiting', [encodeWaiting(items, codecOf)]) };
  }

  /**
   * What waited when the checkpoint was taken. A watermark that had not taken effect does so in its place when one old subtask is the only
   * one; of several, none is known to hold for the others' keys.
   */
  async restore(
    handles: readonly KeyedStateHandle[],
    reader: SnapshotReader,
    range: KeyGroupRange,
  ): Promise<void> {
    for (const { waiting } of handles) {
      if (waiting === undefined) continue;
      const bytes = await reader.read(waiting);
      for (const item of decodeWaiting(bytes, this.#params.codecOf, range)) {
        if (item.kind === 'batch') this.#restored.push(item);
        else if (handles.length === 1) this.#restored.push(item);
      }
    }
  }

  #restored: SavedItem[] = [];

  /** Hands over what was restored; before any input. */
  replay(): void {
    const restored = this.#restored;
    this.#restored = [];
    for (const item of restored) {
      if (item.kind === 'batch') this.offer(item.input, item.batch);
      else this.offerWatermark(item.watermark);
    }
  }

  get restored(): boolean {
    return this.#restored.length > 0;
  }

  /** The signal has been aborted, or nothing waits. Functions that still wait are told that they were given up. */
  async close(): Promise<void> {
    await Promise.allSettled(this.#loading);
    const { signal } = this.#params;
    for (const resume of this.#resumes.splice(0)) resume(asError(signal.reason));
  }

  #load(residency: Residency, startedMs: number): void {
    const { clock, wake, fail, signal } = this.#params;
    this.#loads.inc(1);
    this.#loadedEntries.inc(residency.missing);
    const group = this.controller.beginLoad();
    const resumes = this.#resumes;
    this.#resumes = [];
    this.#policy.began();
    const loading = residency.load(signal).then(
      () => {
        this.#loading.delete(loading);
        const durationMs = clock.monotonicMs() - startedMs;
        this.#policy.ended(durationMs);
        this.#waitedKeys += group.keys.length;
        this.#waitedMs += group.keys.length * durationMs;
        this.controller.endLoad(group);
        for (const resume of resumes) resume();
        wake();
      },
      (error: unknown) => {
        this.#loading.delete(loading);
        for (const resume of resumes) resume(error);
        fail(error);
      },
    );
    this.#loading.add(loading);
  }
}

const aborted = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => {
    const abort = (): void => reject(asError(signal.reason));
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { once: true });
  });
