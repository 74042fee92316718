/**
 * Control messages between the job master and task managers: plain, structured-cloneable data over one MessageLink each way,
 * so that thread or process is only a choice of transport. Both sides ignore messages for attempts they do not know: late
 * messages are normal.
 */
import type { WireError } from '../base/errors.ts';
import type { SplitState } from '../connector/source.ts';
import type { SubtaskSnapshot } from '../state/snapshot.ts';
import type { CheckpointBarrier } from './stream-element.ts';
import type { TaskDescriptor } from './task-descriptor.ts';

/** deploying -> running -> ended -> finished; or failed / canceled from any. */
export type TaskState =
  | 'deploying'
  | 'running'
  /** All input processed and `finish` called; the task stays for barriers until the job master lets it go. */
  | 'ended'
  | 'finished'
  | 'canceled'
  | 'failed';

export type ToTaskManager =
  | { readonly type: 'deploy'; readonly tasks: readonly TaskDescriptor[] }
  /** Sent to source subtasks: emit this barrier. */
  | {
      readonly type: 'trigger-checkpoint';
      readonly attemptIds: readonly string[];
      readonly barrier: CheckpointBarrier;
    }
  | { readonly type: 'checkpoint-complete'; readonly checkpointId: number }
  | { readonly type: 'checkpoint-aborted'; readonly checkpointId: number }
  | {
      readonly type: 'assign-splits';
      readonly attemptId: string;
      readonly splits: readonly SplitState[];
    }
  | { readonly type: 'no-more-splits'; readonly attemptId: string }
  /** Minimum watermark of an alignment group over all its source subtasks. */
  | { readonly type: 'align-watermark'; readonly group: string; readonly minimum: number }
  /** Cancel; each answers with `task-state` canceled (or failed). */
  | { readonly type: 'cancel'; readonly attemptIds: readonly string[] }
  /** Ended tasks may close and finish: the final checkpoint is complete and committed. */
  | { readonly type: 'finish'; readonly attemptIds: readonly string[] }
  /** Tasks that a stopping barrier halted go on: the job is not stopped after all. */
  | { readonly type: 'resume' }
  /** Sources end where they are: event time runs to its end. Their positions stay in checkpoints. */
  | { readonly type: 'drain' }
  | { readonly type: 'shutdown' };

export type ToJobMaster =
  /** First message of a task manager. `fingerprint` is its job graph's. */
  | {
      readonly type: 'register';
      readonly worker: string;
      readonly slots: number;
      readonly fingerprint: string;
    }
  | {
      readonly type: 'task-state';
      readonly attemptId: string;
      readonly state: TaskState;
      readonly error?: WireError;
    }
  | {
      readonly type: 'checkpoint-ack';
      readonly checkpointId: number;
      readonly attemptId: string;
      readonly snapshot: SubtaskSnapshot;
      readonly alignmentMs: number;
      readonly durationMs: number;
    }
  | {
      readonly type: 'checkpoint-decline';
      readonly checkpointId: number;
      readonly attemptId: string;
      readonly error: WireError;
    }
  /** All sinks of the attempt have committed checkpoint `checkpointId`. */
  | {
      readonly type: 'checkpoint-committed';
      readonly checkpointId: number;
      readonly attemptId: string;
    }
  | { readonly type: 'split-request'; readonly attemptId: string }
  /** A source subtask of a job that runs until now has read all that is its. */
  | { readonly type: 'caught-up'; readonly attemptId: string }
  | {
      readonly type: 'watermark-report';
      readonly attemptId: string;
      readonly group: string;
      readonly watermark: number;
    }
  | {
      readonly type: 'metrics';
      readonly attemptId: string;
      readonly values: Readonly<Record<string, number>>;
    };
