/**
 * How to run one attempt of one subtask: plain data, sent from the job master to a task manager. The code comes from
 * the program that the task manager has built itself.
 */
import type { ChannelStart } from './channel.ts';
import type { KeyedStateHandle, OperatorStateHandle, StateHandle } from '../state/snapshot.ts';

/** One channel between two subtasks. Numbers are given by the job master and never used again within a job. */
export interface ChannelDescriptor {
  readonly channel: number;
  /** The subtask at the other end and the worker that runs it. */
  readonly peerSubtask: number;
  readonly peerWorker: string;
  /** Of outputs: the receiver begins with in-flight data of a checkpoint, and gives credit when it is processed. */
  readonly start?: ChannelStart;
}

export interface InputDescriptor {
  readonly edgeId: string;
  /** Which input of the head operator. */
  readonly input: 1 | 2;
  readonly channels: readonly ChannelDescriptor[];
}

export interface OutputDescriptor {
  readonly edgeId: string;
  readonly channels: readonly ChannelDescriptor[];
}

/** State of the restored checkpoint for one operator, already cut to what this subtask may need. */
export interface OperatorRestore {
  readonly keyed: readonly KeyedStateHandle[];
  /** Of all old subtasks, in subtask order. */
  readonly operator: readonly OperatorStateHandle[];
}

/** What of a stage's bytes is this subtask's: all of an edge, what its partitioner sends here, or nothing where the edge is not named. */
export type OwnedEdges = Readonly<Record<string, 'all' | 'own'>>;

/** Channels of one old subtask, in the format of `state/channel-state.ts`. */
export interface ChannelRestore {
  /** The old subtask that received, or was to receive, them. */
  readonly target: number;
  readonly bytes: StateHandle;
  readonly edges: OwnedEdges;
}

/** In-flight data that the subtask processes before any other input. */
export interface InFlightRestore {
  /** One after the other; what of a stage comes from one channel is in order. */
  readonly stages: readonly (readonly ChannelRestore[])[];
  /** Event time of the channels holds for all records of this subtask. */
  readonly timed: boolean;
}

export interface TaskDescriptor {
  readonly jobId: string;
  readonly vertexId: string;
  readonly subtaskIndex: number;
  readonly parallelism: number;
  readonly maxParallelism: number;
  /** 0, 1, 2, ... per subtask. */
  readonly attempt: number;
  /** Unique over all attempts of all subtasks and processes. */
  readonly attemptId: string;
  readonly inputs: readonly InputDescriptor[];
  readonly outputs: readonly OutputDescriptor[];
  readonly restore?: {
    readonly checkpointId: number;
    readonly operators: Readonly<Record<string, OperatorRestore>>;
    readonly inFlight?: InFlightRestore;
  };
}
