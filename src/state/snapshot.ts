/**
 * What a checkpoint says about one subtask, as plain JSON, and where its bytes are.
 */
import type { JsonValue } from '../base/json.ts';
import type { KeyGroupRange } from '../types/key-group.ts';

/** Bytes of a snapshot: small ones inline in the checkpoint record, larger ones a range of an object. */
export type StateHandle =
  | { readonly kind: 'inline'; readonly base64: string; readonly crc32: number }
  | {
      readonly kind: 'object';
      /** Key in the checkpoint store. */
      readonly key: string;
      readonly offset: number;
      readonly length: number;
      readonly crc32: number;
    };

/** An immutable file: a range of an object, since small files of one worker share an object. */
export interface FileRef {
  /** Key in the checkpoint store. */
  readonly object: string;
  readonly offset: number;
  readonly length: number;
}

/** What a handle holds of one state, as far as its writer knows without looking. */
export interface StateSummary {
  readonly name: string;
  readonly kind: string;
  readonly entries?: number;
  readonly bytes?: number;
}

export interface KeyedStateHandle {
  /** Name of the backend that wrote it. */
  readonly backend: string;
  readonly keyGroups: KeyGroupRange;
  readonly data: StateHandle;
  /** Files that `data` refers to and that other checkpoints may share. */
  readonly files?: readonly FileRef[];
  readonly states?: readonly StateSummary[];
  /** Records that waited for state when the barrier came: input of the operator, to be processed first after a restore. */
  readonly waiting?: StateHandle;
}

/**
 * Operator (non-keyed) state by name. `split` lists are redistributed round robin over the new subtasks, `union` lists
 * are given whole to each, `broadcast` state is the same in all and each takes one copy.
 */
export interface OperatorStateHandle {
  readonly data: StateHandle;
}

/** One operator of one subtask. */
export interface OperatorSnapshot {
  readonly keyed: readonly KeyedStateHandle[];
  readonly operator?: OperatorStateHandle;
}

/** Part of the bytes of a channel state. */
export interface ChannelRange {
  readonly offset: number;
  readonly length: number;
  readonly crc32: number;
}

/** What an unaligned barrier overtook at one subtask; the bytes are those of `channel-state.ts`. */
export interface ChannelStateHandle {
  readonly data: StateHandle;
  /**
   * Of all input channels. The last is what stood in the channels; those before it are what a restore brought and was not processed yet,
   * to be processed in this order.
   */
  readonly inputs: readonly ChannelRange[];
  /** What had not left for its target yet, by edge and target subtask. */
  readonly outputs: Readonly<Record<string, Readonly<Record<string, ChannelRange>>>>;
  /** Partitionings of the edges that have records here. */
  readonly edges: Readonly<Record<string, string>>;
  /** How many stream elements it holds. */
  readonly elements: number;
}

/** Everything one subtask acknowledges, by operator id. */
export interface SubtaskSnapshot {
  readonly operators: Readonly<Record<string, OperatorSnapshot>>;
  readonly channels?: ChannelStateHandle;
  /** Bytes written for it. */
  readonly sizeBytes: number;
}

/** Stores snapshot bytes for one attempt and one checkpoint; decides inline or object. */
export interface SnapshotWriter {
  /** Settles when the bytes are durable. `name` need only be unique within the writer. */
  write(name: string, chunks: readonly Uint8Array[]): Promise<StateHandle>;
}

export interface SnapshotReader {
  /** @throws `data` SNAPSHOT_CORRUPT or OBJECT_NOT_FOUND naming the object. */
  read(handle: StateHandle): Promise<Uint8Array>;
}

/** Coordinator-side state of a source: its enumerator. */
export type CoordinatorState = JsonValue;
