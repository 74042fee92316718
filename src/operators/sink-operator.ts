/**
 * A connector's sink as an operator: the writer in the stream, the committer after completed checkpoints.
 *
 * Invariants
 *  K1  Committables of checkpoint n are committed only after n is complete, oldest first, and stay in state until they are.
 *  K2  After a restore the committables of the restored checkpoint are committed (again) before anything is written.
 *  K3  A commit that is refused fails the task; it is never skipped.
 */
import { isMillraceError, MillraceError } from '../base/errors.ts';
import type { JsonValue } from '../base/json.ts';
import type {
  Committable,
  Committer,
  Sink,
  SinkWriter,
  SinkWriterContext,
} from '../connector/sink.ts';
import type { OperatorListState } from '../state/operator-state.ts';
import type { RecordBatch } from '../types/record-batch.ts';
import { t } from '../types/t.ts';
import type { OneInputOperator, OperatorContext } from './contract.ts';

/** JSON text: committables and writer states are plain data of the connector's own shape. */
const PENDING = t.struct({ checkpointId: t.int64(), json: t.string() });

interface Pending {
  readonly checkpointId: number;
  readonly json: string;
}

const COMMIT_ATTEMPTS_MAX = 10;
const COMMIT_BACKOFF_MS = 100;

export class SinkOperator implements OneInputOperator {
  readonly #sink: Sink<unknown>;
  #context!: OperatorContext;
  #writer!: SinkWriter<unknown>;
  #committer: Committer | undefined;
  #pending!: OperatorListState<Pending>;
  #writerState!: OperatorListState<string>;
  #queue: RecordBatch<unknown>[] = [];
  #writing = false;
  #idle: (() => void)[] = [];

  constructor(sink: Sink<unknown>) {
    this.#sink = sink;
  }

  /** O3: no further input while a write is under way. */
  get blocked(): boolean {
    return this.#writing;
  }

  async open(context: OperatorContext): Promise<void> {
    this.#context = context;
    this.#pending = context.operatorState.getListState<Pending>('committables', PENDING);
    this.#writerState = context.operatorState.getListState('writer-state', t.string());
    const writerContext: SinkWriterContext = {
      jobId: context.jobId,
      operatorId: context.operatorId,
      subtaskIndex: context.subtaskIndex,
      parallelism: context.parallelism,
      attemptId: context.attemptId,
      restored: this.#writerState.get().map((json) => JSON.parse(json) as JsonValue), // written by snapshotState
      clock: context.clock,
      timers: context.timers,
      logger: context.logger,
      print: context.print,
    };
    this.#committer = await this.#sink.createCommitter?.(writerContext);
    await this.#commit(Number.POSITIVE_INFINITY);
    this.#writer = await this.#sink.createWriter(writerContext);
  }

  processBatch(batch: RecordBatch<unknown>): void {
    if (this.#writing) {
      this.#queue.push(batch);
      return;
    }
    const written = this.#writer.write(batch);
    if (written !== undefined) this.#await(written);
  }

  processWatermark(watermark: number): void {
    this.#writer.writeWatermark?.(watermark);
  }

  processWatermarkStatus(): void {}

  async prepareSnapshot(checkpointId: number): Promise<void> {
    await this.#written();
    await this.#writer.flush(false);
    await this.#stage(checkpointId);
  }

  async snapshotState(checkpointId: number): Promise<void> {
    const states = (await this.#writer.snapshotState?.(checkpointId)) ?? [];
    this.#writerState.update(states.map((state) => JSON.stringify(state)));
  }

  async notifyCheckpointComplete(checkpointId: number): Promise<void> {
    await this.#commit(checkpointId);
  }

  async finish(): Promise<void> {
    await this.#written();
    await this.#writer.flush(true);
  }

  async close(): Promise<void> {
    await this.#writer?.close();
    await this.#committer?.close();
  }

  async #stage(checkpointId: number): Promise<void> {
    const committables = (await this.#writer.prepareCommit?.(checkpointId)) ?? [];
    for (const committable of committables)
      this.#pending.add({ checkpointId, json: JSON.stringify(committable) });
  }

  async #commit(upTo: number): Promise<void> {
    const due = this.#pending.get().filter((pending) => pending.checkpointId <= upTo);
    if (due.length === 0) return;
    if (this.#committer === undefined) {
      throw new MillraceError(
        'data',
        'SINK_WITHOUT_COMMITTER',
        `operator "${this.#context.operatorName}" has ${due.length} committables in its restored state, but the sink has no committer; restore with the sink that wrote them`,
      );
    }
    await this.#commitWithRetries(
      this.#committer,
      due.map(({ json }) => JSON.parse(json) as Committable),
    ); // written by #stage
    this.#pending.update(this.#pending.get().filter((pending) => !due.includes(pending)));
  }

  async #commitWithRetries(
    committer: Committer,
    committables: readonly Committable[],
  ): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await committer.commit(committables);
        return;
      } catch (error) {
        const retryable = isMillraceError(error) && error.kind === 'unavailable';
        if (!retryable || attempt >= COMMIT_ATTEMPTS_MAX) throw error;
        await this.#pause(COMMIT_BACKOFF_MS * 2 ** (attempt - 1));
      }
    }
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const { signal } = this.#context;
      const timer = this.#context.timers.after(delayMs, () => resolve());
      signal.addEventListener(
        'abort',
        () => {
          timer.cancel();
          reject(
            new MillraceError(
              'cancelled',
              'TASK_CANCELLED',
              'the task was cancelled while it waited to commit',
            ),
          );
        },
        { once: true },
      );
    });
  }

  #await(written: Promise<void>): void {
    this.#writing = true;
    written.then(
      () => this.#context.mailbox(() => this.#writeNext()),
      (error: unknown) => this.#context.fail(error),
    );
  }

  #writeNext(): void {
    this.#writing = false;
    while (this.#queue.length > 0 && !this.#writing) this.processBatch(this.#queue.shift()!);
    if (!this.#writing) for (const wake of this.#idle.splice(0)) wake();
  }

  /** Settles when nothing is being written. */
  async #written(): Promise<void> {
    while (this.#writing) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }
}
