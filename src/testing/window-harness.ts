/**
 * Drives one keyed operator on any state backend, as a task would: records, watermarks, processing time, snapshots.
 *
 * Time is virtual: nothing happens but what the test does. `restore` continues from a snapshot in a fresh operator and backend, at any
 * parallelism; like a task after a restart it knows no watermark until one comes.
 */
import type { OneInputOperator, OperatorContext, Output } from '../operators/contract.ts';
import { StoreSnapshotReader, StoreSnapshotWriter } from '../state/checkpoint-storage.ts';
import type {
  KeyedStateBackend,
  StateBackend,
  TimerProgress,
} from '../state/keyed-state-backend.ts';
import { InMemoryOperatorState } from '../state/operator-state-backend.ts';
import type { OperatorStateBackend } from '../state/operator-state.ts';
import type { OperatorSnapshot } from '../state/snapshot.ts';
import { MemoryStore } from '../storage/memory-store.ts';
import { keyGroupRangeOf } from '../types/key-group.ts';
import type { RecordBatch } from '../types/record-batch.ts';
import { t } from '../types/t.ts';
import { SlowKeyedBackend } from './slow-state-backend.ts';

const MAX_PARALLELISM = 16;
const TIMERS_PER_STEP = 3;

export interface Emitted {
  readonly value: unknown;
  readonly timestamp: number;
}

/** What a test collects: the main output, side outputs by tag, counters by name. */
export interface HarnessOutput {
  readonly records: Emitted[];
  readonly watermarks: number[];
  readonly sides: Map<string, Emitted[]>;
  readonly counters: Map<string, number>;
}

export interface HarnessParams {
  readonly backend: (store: MemoryStore) => StateBackend;
  readonly operator: () => OneInputOperator;
}

export interface HarnessSnapshot {
  readonly store: MemoryStore;
  readonly operators: readonly OperatorSnapshot[];
  /** Bytes of all keyed state, to tell an empty backend from one that still holds something. */
  readonly keyedBytes: number;
}

/** Where among how many subtasks. */
export interface Placement {
  readonly index: number;
  readonly parallelism: number;
}

const ALONE: Placement = { index: 0, parallelism: 1 };

function collector(into: Emitted[], watermarks: number[]): Output<unknown> {
  return {
    emitBatch({ values, timestamps }: RecordBatch<unknown>) {
      values.forEach((value, i) =>
        into.push({ value, timestamp: timestamps?.[i] ?? Number.NEGATIVE_INFINITY }),
      );
    },
    emitWatermark: (watermark) => watermarks.push(watermark),
    emitWatermarkStatus: () => {},
  };
}

export class KeyedOperatorHarness {
  readonly out: HarnessOutput = {
    records: [],
    watermarks: [],
    sides: new Map(),
    counters: new Map(),
  };
  readonly #store: MemoryStore;
  readonly #operator: OneInputOperator;
  readonly #keyed: KeyedStateBackend;
  readonly #operatorState: OperatorStateBackend;
  #now = 0;
  #checkpoints = 0;

  private constructor(parts: {
    store: MemoryStore;
    operator: OneInputOperator;
    keyed: KeyedStateBackend;
    operatorState: OperatorStateBackend;
  }) {
    this.#store = parts.store;
    this.#operator = parts.operator;
    this.#keyed = parts.keyed;
    this.#operatorState = parts.operatorState;
  }

  static async open(
    { backend, operator }: HarnessParams,
    from?: HarnessSnapshot,
    { index, parallelism }: Placement = ALONE,
  ): Promise<KeyedOperatorHarness> {
    const store = from?.store ?? new MemoryStore();
    const reader = new StoreSnapshotReader(store);
    const operators = from?.operators ?? [];
    const keyed = await backend(store).createKeyed({
      operatorId: 'operator',
      attemptId: 'attempt',
      keySchema: t.string(),
      keyGroupRange: keyGroupRangeOf(index, parallelism, MAX_PARALLELISM),
      maxParallelism: MAX_PARALLELISM,
      restore: operators.flatMap((snapshot) => snapshot.keyed),
      reader,
      wallMs: () => 0,
      yieldToLoop: async () => {},
      allowGenericTypes: false,
    });
    const operatorState = await InMemoryOperatorState.open({
      operatorId: 'operator',
      subtaskIndex: index,
      parallelism,
      restore: operators.flatMap((snapshot) =>
        snapshot.operator === undefined ? [] : [snapshot.operator],
      ),
      reader,
    });
    const harness = new KeyedOperatorHarness({ store, operator: operator(), keyed, operatorState });
    await harness.#operator.open(harness.#context({ index, parallelism }, from !== undefined));
    // Restored timers: a harness fires them without waiting.
    const { signal } = new AbortController();
    while (keyed.advanceWatermark(Number.NEGATIVE_INFINITY, 1) === 'load')
      await keyed.residency!.load(signal);
    while (keyed.advanceProcessingTime(Number.NEGATIVE_INFINITY, 1) === 'load')
      await keyed.residency!.load(signal);
    return harness;
  }

  /** One record; without a timestamp, one that has none. */
  element(value: unknown, timestamp?: number): void {
    this.#process({
      values: [value],
      timestamps: timestamp === undefined ? null : Float64Array.of(timestamp),
    });
  }

  batch(values: readonly unknown[], timestamps: readonly number[]): void {
    this.#process({ values, timestamps: Float64Array.from(timestamps) });
  }

  watermark(watermark: number): void {
    this.#fire(() => this.#keyed.advanceWatermark(watermark, TIMERS_PER_STEP));
    this.#operator.flush?.();
    this.#operator.processWatermark(watermark);
  }

  processingTime(now: number): void {
    this.#now = now;
    this.#fire(() => this.#keyed.advanceProcessingTime(now, TIMERS_PER_STEP));
    this.#operator.flush?.();
  }

  /** Takes what has come out of the main output since the last time. */
  drain(): readonly Emitted[] {
    return this.out.records.splice(0);
  }

  async snapshot(): Promise<HarnessSnapshot> {
    const checkpointId = ++this.#checkpoints;
    await this.#operator.prepareSnapshot?.(checkpointId);
    await this.#operator.snapshotState?.(checkpointId);
    const writer = new StoreSnapshotWriter(this.#store, {
      jobId: 'job',
      checkpointId,
      attemptId: 'attempt',
    });
    const keyed = await this.#keyed.snapshot(checkpointId).write(writer);
    const keyedBytes = writer.bytesWritten;
    const operator = await this.#operatorState.snapshot()?.write(writer);
    const snapshot = { keyed: [keyed], ...(operator === undefined ? {} : { operator }) };
    return { store: this.#store, operators: [snapshot], keyedBytes };
  }

  async close(): Promise<void> {
    await this.#operator.close?.();
    await this.#keyed.close();
  }

  #process(batch: RecordBatch<unknown>): void {
    if (this.#keyed instanceof SlowKeyedBackend) this.#load(this.#keyed, batch);
    this.#operator.processBatch(batch);
  }

  /** Only what the operator has asked for is there to be read. */
  #load(keyed: SlowKeyedBackend, batch: RecordBatch<unknown>): void {
    keyed.trim();
    for (;;) {
      let lacking = 0;
      const record = (): void => {
        lacking++;
      };
      this.#operator.prepareBatch?.(batch, {
        attentive: false,
        thorough: true,
        joins: () => false,
        waiting: { mayHold: () => false },
        record,
      });
      if (lacking === 0) return;
      keyed.loadNow();
    }
  }

  #fire(advance: () => TimerProgress): void {
    for (;;) {
      const progress = advance();
      this.#operator.flush?.();
      if (progress === 'done') return;
      if (!(this.#keyed instanceof SlowKeyedBackend)) continue;
      if (progress === 'load') this.#keyed.loadNow();
      else this.#keyed.trim();
    }
  }

  #context({ index, parallelism }: Placement, restored: boolean): OperatorContext {
    const { records, watermarks, sides, counters } = this.out;
    return {
      jobId: 'job',
      operatorId: 'operator',
      operatorName: 'operator',
      subtaskIndex: index,
      parallelism,
      maxParallelism: MAX_PARALLELISM,
      attemptId: 'attempt',
      output: collector(records, watermarks),
      sideOutput: (tag) => {
        const side: Emitted[] = sides.get(tag) ?? [];
        sides.set(tag, side);
        return collector(side, []);
      },
      keyed: this.#keyed,
      operatorState: this.#operatorState,
      processingTime: { now: () => this.#now, registerTimer: () => ({ cancel: () => {} }) },
      metrics: {
        counter: (name) => ({
          inc: (by) => counters.set(name, (counters.get(name) ?? 0) + by),
        }),
        gauge: () => {},
      },
      clock: { wallMs: () => this.#now, monotonicMs: () => this.#now },
      timers: { after: () => ({ cancel: () => {} }), soon: () => {} },
      logger: { log: () => {} },
      random: { next: () => 0.5 },
      print: () => {},
      mailbox: (mail) => mail(),
      fail: (error) => {
        throw error;
      },
      signal: new AbortController().signal,
      restored,
      config: {},
    };
  }
}
