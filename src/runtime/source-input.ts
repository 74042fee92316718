/** The head of a source task: the connector's reader behind a `SourceDriver`, its state, and the ticks that move its time on. */
import type { Source, SourceReader, SplitState } from '../connector/source.ts';
import type { WatermarkStrategy } from '../connector/watermark-strategy.ts';
import type { NodeCode } from '../graph/program.ts';
import type { Output } from '../operators/contract.ts';
import type { OperatorListState, OperatorStateBackend } from '../state/operator-state.ts';
import { restoredSplits, SourceDriver, SPLIT_STATE } from './source-driver.ts';
import type { TaskDescriptor } from './task-descriptor.ts';
import type { TaskMetrics } from './task-metrics.ts';
import type { TaskServices } from './task-services.ts';

export interface SourceInputParams {
  readonly descriptor: TaskDescriptor;
  readonly services: TaskServices;
  readonly code: NodeCode;
  readonly state: OperatorStateBackend;
  readonly metrics: TaskMetrics;
  readonly output: Output<unknown>;
  readonly deadLetter: Output<unknown> | undefined;
  readonly mail: (mail: () => void) => void;
  readonly fail: (error: unknown) => void;
  /** See `TaskTime.receptiveMs`. */
  readonly receptiveMs: () => number;
}

/** Ticks of idleness and alignment where watermarks have no interval of their own. */
const TICK_DEFAULT_MS = 200;

export class SourceInput {
  readonly driver: SourceDriver;
  readonly #params: SourceInputParams;
  readonly #reader: SourceReader<unknown>;
  readonly #splits: OperatorListState<{ readonly id: string; readonly json: string }>;
  /** Positions of checkpoints that are neither complete nor aborted. */
  readonly #pending = new Map<number, readonly SplitState[]>();
  #tick: { cancel(): void } | undefined;

  constructor(params: SourceInputParams) {
    this.#params = params;
    const { descriptor, services, code, mail, fail, output, deadLetter } = params;
    const { world, program, report } = services;
    const { attemptId, subtaskIndex, parallelism } = descriptor;
    const source = code.source as Source<unknown>; // a source node's code, by the graph's contract
    const strategy = code.watermarkStrategy as WatermarkStrategy<unknown>; // as above
    const errors = params.metrics.counter('numRecordsInErrors');
    const watermarkIntervalMs = Number(program.config['pipeline.auto-watermark-interval'] ?? 200);
    this.#reader = source.createReader({
      subtaskIndex,
      parallelism,
      clock: world.clock,
      timers: world.timers,
      logger: world.logger,
      onMalformed: (record) => this.driver.onMalformed(record),
    });
    this.driver = new SourceDriver({
      source,
      reader: this.#reader,
      strategy,
      output,
      watermarkIntervalMs,
      now: params.receptiveMs,
      logger: world.logger,
      mail,
      fail,
      reportWatermark: (group, watermark) =>
        report({ type: 'watermark-report', attemptId, group, watermark }),
      deadLetter,
      countError: () => errors.inc(1),
    });
    this.#splits = params.state.getListState('splits', SPLIT_STATE);
    this.driver.addSplits(restoredSplits(this.#splits));
    const ticks = strategy.idlenessMs !== undefined || strategy.alignment !== undefined;
    if (watermarkIntervalMs > 0) this.#tickEvery(watermarkIntervalMs);
    else if (ticks) this.#tickEvery(TICK_DEFAULT_MS);
    report({ type: 'split-request', attemptId });
  }

  /** Writes where every split stands into operator state. */
  snapshot(checkpointId: number): void {
    this.driver.snapshotInto(this.#splits);
    if (this.#reader.notifyCheckpointComplete !== undefined)
      this.#pending.set(checkpointId, this.driver.positions());
  }

  /** Tells the reader the positions that the checkpoint carried, not where it is now. */
  async notifyCheckpointComplete(checkpointId: number): Promise<void> {
    const positions = this.#pending.get(checkpointId);
    for (const id of this.#pending.keys()) if (id <= checkpointId) this.#pending.delete(id);
    if (positions !== undefined)
      await this.#reader.notifyCheckpointComplete?.(checkpointId, positions);
  }

  notifyCheckpointAborted(checkpointId: number): void {
    this.#pending.delete(checkpointId);
  }

  async close(): Promise<void> {
    this.#tick?.cancel();
    await this.driver.close();
  }

  #tickEvery(intervalMs: number): void {
    this.#tick = this.#params.services.world.timers.after(intervalMs, () => {
      this.#params.mail(() => this.driver.onInterval());
      this.#tickEvery(intervalMs);
    });
  }
}
