/**
 * What flows through a channel, in order.
 */
import type { RecordBatch } from '../types/record-batch.ts';

export type CheckpointMode = 'exactly-once' | 'at-least-once';

export interface CheckpointBarrier {
  readonly kind: 'barrier';
  readonly checkpointId: number;
  /** Wall clock of the trigger, epoch milliseconds. */
  readonly triggeredAtMs: number;
  /** Exactly-once aligns (blocks channels after their barrier); at-least-once counts barriers only. */
  readonly mode: CheckpointMode;
  /** It passes what stands in front of it once it has waited so many milliseconds; what it passes is saved. Absent: it passes nothing. */
  readonly overtakesAfterMs?: number;
  /** Tasks that have taken it process nothing more until they are told to `resume`, or canceled: the checkpoint is the job's last. */
  readonly stops?: true;
}

export type StreamElement =
  | { readonly kind: 'batch'; readonly batch: RecordBatch<unknown> }
  | { readonly kind: 'watermark'; readonly watermark: number }
  | { readonly kind: 'status'; readonly idle: boolean }
  | CheckpointBarrier
  | {
      readonly kind: 'latency';
      readonly markedAtMs: number;
      readonly operatorId: string;
      readonly subtaskIndex: number;
    }
  | { readonly kind: 'end-of-input' };
