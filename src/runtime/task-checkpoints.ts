/**
 * A task's part in checkpoints: prepare, send the barrier on, capture state, store it in the background, acknowledge; later commit.
 *
 * The acknowledgement leaves only when every byte of the snapshot is durable.
 */
import { toWireError } from '../base/errors.ts';
import type {
  ChannelStateHandle,
  KeyedStateHandle,
  OperatorSnapshot,
  OperatorStateHandle,
  SnapshotWriter,
  SubtaskSnapshot,
} from '../state/snapshot.ts';
import type { InputCapture } from './input-capture.ts';
import { layOut } from './in-flight-layout.ts';
import type { OutputCapture } from './output-capture.ts';
import type { CheckpointBarrier } from './stream-element.ts';
import type { TaskDescriptor } from './task-descriptor.ts';
import type { TaskParts } from './task-parts.ts';
import type { TaskServices } from './task-services.ts';
import type { WaitingCapture } from './async-state.ts';

/** `overtaking`: what the barrier overtook in the inputs belongs to the snapshot. */
export type BarrierArrival = 'in-order' | 'overtaking';

export interface TakenBarrier {
  readonly barrier: CheckpointBarrier;
  readonly alignmentMs: number;
  readonly arrival: BarrierArrival;
}

/** In-flight data, some of which may still be arriving. */
interface InFlight {
  readonly inputs: InputCapture | undefined;
  readonly outputs: OutputCapture | undefined;
}

interface Capture {
  readonly operatorId: string;
  readonly keyed:
    | { write(writer: SnapshotWriter): Promise<KeyedStateHandle>; discard(): void }
    | undefined;
  /** Records of the keyed operator that wait for state. */
  readonly waiting: WaitingCapture | undefined;
  readonly operator: { write(writer: SnapshotWriter): Promise<OperatorStateHandle> } | undefined;
}

export class TaskCheckpoints {
  readonly #descriptor: TaskDescriptor;
  readonly #services: TaskServices;
  readonly #parts: TaskParts;
  /** Commits run one after another, oldest first. */
  #commits: Promise<void> = Promise.resolve();
  #alignmentMs = 0;
  /** From the trigger to the first barrier that came. */
  #startDelayMs = 0;
  #persistedBytes = 0;

  constructor(descriptor: TaskDescriptor, services: TaskServices, parts: TaskParts) {
    this.#descriptor = descriptor;
    this.#services = services;
    this.#parts = parts;
    // Flink's unit for it is nanoseconds.
    parts.metrics.gauge('checkpointAlignmentTime', () => this.#alignmentMs * 1e6);
    parts.metrics.gauge('checkpointStartDelayNanos', () => this.#startDelayMs * 1e6);
    parts.metrics.gauge('checkpointPersistedData', () => this.#persistedBytes);
  }

  /** The task has seen the end of its input. */
  ended = false;

  /**
   * Settles when input may go on; storing continues behind it. `prepared` is called when the barrier is about to leave: from then until the
   * capture nothing may be emitted.
   */
  async take({ barrier, alignmentMs, arrival }: TakenBarrier, prepared: () => void): Promise<void> {
    const { checkpointId } = barrier;
    this.#alignmentMs = alignmentMs;
    const sinceTriggerMs = this.#services.world.clock.wallMs() - barrier.triggeredAtMs;
    this.#startDelayMs = Math.max(0, sinceTriggerMs - alignmentMs);
    const startedMs = this.#services.world.clock.monotonicMs();
    const { operators } = this.#parts.chain;
    this.#parts.asyncState?.controller.runUnkeyed();
    for (const { operator } of operators) await operator.prepareSnapshot?.(checkpointId);
    prepared();
    const outputs = this.#parts.outputs.sendBarrier(barrier);
    for (const { operator } of operators) await operator.snapshotState?.(checkpointId);
    const captures = this.#capture(checkpointId);
    const inputs = arrival === 'overtaking' ? this.#parts.inputs!.capture(checkpointId) : undefined;
    const stored = this.#store(checkpointId, captures, { inputs, outputs });
    stored.then(
      (snapshot) => {
        const durationMs = this.#services.world.clock.monotonicMs() - startedMs;
        this.#services.report({
          type: 'checkpoint-ack',
          checkpointId,
          attemptId: this.#descriptor.attemptId,
          snapshot,
          alignmentMs,
          durationMs,
        });
      },
      (error: unknown) => {
        for (const { keyed } of captures) keyed?.discard();
        this.#services.report({
          type: 'checkpoint-decline',
          checkpointId,
          attemptId: this.#descriptor.attemptId,
          error: toWireError(error),
        });
      },
    );
  }

  /** Tells operators that the checkpoint is complete; sinks commit. Rejects when a commit is refused. */
  complete(checkpointId: number): Promise<void> {
    const commit = this.#commits.then(() => this.#notify(checkpointId));
    this.#commits = commit.catch(() => {});
    return commit;
  }

  abort(checkpointId: number): void {
    this.#parts.source?.notifyCheckpointAborted(checkpointId);
    this.#parts.keyed?.notifyCheckpointAborted(checkpointId);
    for (const { operator } of this.#parts.chain.operators)
      operator.notifyCheckpointAborted?.(checkpointId);
  }

  async #notify(checkpointId: number): Promise<void> {
    this.#parts.keyed?.notifyCheckpointComplete(checkpointId);
    for (const { operator } of this.#parts.chain.operators)
      await operator.notifyCheckpointComplete?.(checkpointId);
    await this.#parts.source?.notifyCheckpointComplete(checkpointId);
    this.#services.report({
      type: 'checkpoint-committed',
      checkpointId,
      attemptId: this.#descriptor.attemptId,
    });
  }

  #capture(checkpointId: number): readonly Capture[] {
    this.#parts.source?.snapshot(checkpointId);
    const keepsKeyed = !this.ended || this.#services.stateOutlivesJob;
    const headId = keepsKeyed ? this.#parts.headId : undefined;
    return [...this.#parts.operatorStates].map(([operatorId, state]) => ({
      operatorId,
      keyed: operatorId === headId ? this.#parts.keyed?.snapshot(checkpointId) : undefined,
      waiting: operatorId === headId ? this.#parts.asyncState?.capture() : undefined,
      operator: state.snapshot(),
    }));
  }

  async #store(
    checkpointId: number,
    captures: readonly Capture[],
    inFlight: InFlight,
  ): Promise<SubtaskSnapshot> {
    const writer = this.#services.snapshotWriter(checkpointId, this.#descriptor.attemptId);
    const operators: Record<string, OperatorSnapshot> = {};
    for (const { operatorId, keyed, waiting, operator } of captures) {
      const waitingHandle = await waiting?.write(writer);
      const keyedHandle = await keyed?.write(writer);
      const operatorHandle = await operator?.write(writer);
      operators[operatorId] = {
        keyed:
          keyedHandle === undefined
            ? []
            : [
                {
                  ...keyedHandle,
                  ...(waitingHandle === undefined ? {} : { waiting: waitingHandle }),
                },
              ],
        ...(operatorHandle === undefined ? {} : { operator: operatorHandle }),
      };
    }
    const channels = await this.#storeInFlight(checkpointId, inFlight);
    this.#persistedBytes = channels?.bytes ?? 0;
    return {
      operators,
      ...(channels === undefined ? {} : { channels: channels.handle }),
      sizeBytes: writer.bytesWritten + this.#persistedBytes,
    };
  }

  /** Waits until the barrier has come everywhere, and left. */
  async #storeInFlight(
    checkpointId: number,
    { inputs, outputs }: InFlight,
  ): Promise<{ readonly handle: ChannelStateHandle; readonly bytes: number } | undefined> {
    const { attemptId, subtaskIndex } = this.#descriptor;
    const captured = await inputs?.result();
    const waiting = (await outputs?.result(subtaskIndex)) ?? [];
    if (captured === undefined && waiting.length === 0) return undefined;
    const { channelState, edges } = this.#services;
    const layout = layOut(captured, waiting, (id) => edges.find((e) => e.id === id)!.partitioning);
    const data = await channelState.write(checkpointId, attemptId, layout.bytes);
    return { handle: { data, ...layout.contents }, bytes: layout.bytes.length };
  }
}
