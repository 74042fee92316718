/**
 * Asynchronous state of a task: drives the execution controller, loads what it lacks, saves what waits at barriers and brings it back.
 *
 * Exists only where the backend has a residency, or records that waited have been restored.
 *
 * Invariants
 *  W1  State is evicted only between batches, and never what a record that can run now is about to read.
 *  W2  A barrier waits for no load: records that wait are captured with the state, and run after a restore before anything else.
 *  W3  Watermarks do not go back: after a restore, those below one that was saved tell nothing.
 */
import type { OperatorContext } from '../operators/contract.ts';
import {
  AsyncExecutionController,
  type ControllerTarget,
  type InputNumber,
} from '../state/async-execution-controller.ts';
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
import type { JsonValue } from '../base/json.ts';
import type { KeyGroupRange } from '../types/key-group.ts';
import { MIN_WATERMARK, type RecordBatch } from '../types/record-batch.ts';
import type { StreamElement } from './stream-element.ts';

/** What takes effect between records. */
export type Marker =
  | { readonly kind: 'watermark'; readonly watermark: number }
  | { readonly kind: 'status'; readonly idle: boolean }
  | { readonly kind: 'latency'; readonly element: StreamElement }
  | { readonly kind: 'end-of-input'; readonly input: InputNumber; readonly all: boolean };

export interface AsyncStateParams {
  readonly target: ControllerTarget<Marker>;
  /** Undefined: everything is resident. */
  readonly residency: Residency | undefined;
  readonly identify: (key: unknown) => unknown;
  readonly keyGroupOf: (key: unknown) => number;
  readonly codecOf: InputCodecs;
  readonly config: Readonly<Record<string, JsonValue>>;
  readonly metrics: OperatorContext['metrics'];
  readonly wake: () => void;
  readonly fail: (error: unknown) => void;
  readonly signal: AbortSignal;
}

export interface WaitingCapture {
  /** Undefined: nothing waited. */
  write(writer: SnapshotWriter): Promise<StateHandle | undefined>;
}

const NOTHING: WaitingCapture = { write: async () => undefined };
/** As many as one CPU processes in 23 ms, the latency of object storage: `bench -- aec`. */
const IN_FLIGHT_DEFAULT = 24_000;
const BUFFER_DEFAULT = 1000;

export class AsyncState {
  readonly controller: AsyncExecutionController<Marker>;
  readonly #params: AsyncStateParams;
  readonly #loading = new Set<Promise<void>>();
  readonly #loads;
  readonly #loadedEntries;
  #watermark = MIN_WATERMARK;

  constructor(params: AsyncStateParams) {
    this.#params = params;
    const { config, metrics } = params;
    this.controller = new AsyncExecutionController(
      params.target,
      {
        inFlightMax: Number(
          config['execution.async-state.in-flight-records-limit'] ?? IN_FLIGHT_DEFAULT,
        ),
        batchSize: Number(config['execution.async-state.buffer-size'] ?? BUFFER_DEFAULT),
      },
      params.identify,
    );
    metrics.gauge('asyncStateProcessing.numInFlightRecords', () => this.controller.inFlight);
    metrics.gauge('asyncStateProcessing.numBlockingKeys', () => this.controller.blockedKeys);
    metrics.gauge('asyncStateProcessing.numLoadsInFlight', () => this.controller.loadsInFlight);
    this.#loads = metrics.counter('asyncStateProcessing.numLoads');
    this.#loadedEntries = metrics.counter('asyncStateProcessing.numEntriesLoaded');
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
    if (this.controller.mayTrim) residency.trim();
    // What is behind with writing is waited for by the load.
    if (residency.overloaded && !this.controller.urgent) this.controller.pauseForLoad();
    if (this.controller.wantsLoad(residency.missing, starved)) this.#load(residency);
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

  /** The signal has been aborted, or nothing waits. */
  async close(): Promise<void> {
    await Promise.allSettled(this.#loading);
  }

  #load(residency: Residency): void {
    const { wake, fail, signal } = this.#params;
    this.#loads.inc(1);
    this.#loadedEntries.inc(residency.missing);
    const group = this.controller.beginLoad();
    const loading = residency.load(signal).then(
      () => {
        this.#loading.delete(loading);
        this.controller.endLoad(group);
        wake();
      },
      (error: unknown) => {
        this.#loading.delete(loading);
        fail(error);
      },
    );
    this.#loading.add(loading);
  }
}
