/**
 * What a completed checkpoint is: one record, immutable plain JSON, named by the job's head.
 */
import { crc32 } from 'node:zlib';
import { MillraceError } from '../base/errors.ts';
import type { CoordinatorState, SubtaskSnapshot } from './snapshot.ts';

export const CHECKPOINT_RECORD_VERSION = 1;

export interface OperatorRecord {
  readonly id: string;
  readonly name: string;
  readonly uid?: string;
  readonly parallelism: number;
  readonly maxParallelism: number;
  /** Of a source: its enumerator's state. */
  readonly coordinator?: CoordinatorState;
}

export interface VertexRecord {
  readonly id: string;
  readonly operators: readonly OperatorRecord[];
  /** In subtask order. */
  readonly subtasks: readonly SubtaskSnapshot[];
}

export type SavepointFormat = 'canonical' | 'native';

export interface SavepointOrigin {
  /** The folder or s3://bucket/prefix of the job's checkpoints. */
  readonly location: string;
  /** Key of the checkpoint's record. */
  readonly key: string;
  /** What holds the checkpoint in the job's head. */
  readonly pinId: string;
}

export interface CheckpointRecord {
  readonly version: typeof CHECKPOINT_RECORD_VERSION;
  readonly jobId: string;
  readonly jobName: string;
  readonly checkpointId: number;
  /** Of the coordinator that completed it. */
  readonly generation: number;
  readonly triggeredAtMs: number;
  readonly completedAtMs: number;
  readonly fingerprint: string;
  /** The delivery guarantee that the job's state has. */
  readonly mode?: 'exactly-once' | 'at-least-once';
  /** What the job promised from each source to each sink when it was taken. */
  readonly deliveries?: readonly {
    readonly source: string;
    readonly sink: string;
    readonly delivery: string;
  }[];
  /** Bytes that were written for it; files that it shares with others are not among them. */
  readonly sizeBytes?: number;
  /** Of a savepoint: its format. Keys of a canonical one are relative to its own folder, those of a native one to its origin. */
  readonly savepoint?: SavepointFormat;
  /** Of a native savepoint: the checkpoint that it refers to. */
  readonly origin?: SavepointOrigin;
  readonly vertices: readonly VertexRecord[];
}

/** The record as bytes, with a checksum around it. */
export function encodeRecord(record: CheckpointRecord): Uint8Array {
  const body = JSON.stringify(record);
  return Buffer.from(JSON.stringify({ crc32: crc32(body), body }));
}

/** @throws `data` CHECKPOINT_RECORD_CORRUPT or CHECKPOINT_VERSION, naming the object. */
export function decodeRecord(bytes: Uint8Array, key: string): CheckpointRecord {
  const body = checkedBody(bytes, key);
  const record = JSON.parse(body) as CheckpointRecord; // written by encodeRecord, guarded by its checksum
  if (record.version !== CHECKPOINT_RECORD_VERSION) {
    throw new MillraceError(
      'data',
      'CHECKPOINT_VERSION',
      `checkpoint ${key} has version ${String(record.version)}; this release reads ${CHECKPOINT_RECORD_VERSION}`,
      { details: { key } },
    );
  }
  return record;
}

/** JSON text out of `{crc32, body}`. */
export function checkedBody(bytes: Uint8Array, key: string): string {
  try {
    const envelope = JSON.parse(Buffer.from(bytes).toString('utf8')) as {
      crc32?: unknown;
      body?: unknown;
    };
    if (typeof envelope.body === 'string' && crc32(envelope.body) === envelope.crc32)
      return envelope.body;
  } catch {
    // Not JSON at all: the same verdict.
  }
  throw new MillraceError(
    'data',
    'CHECKPOINT_RECORD_CORRUPT',
    `checkpoint object ${key} is corrupt: its checksum does not match. Nothing was deleted; restore from another retained checkpoint, or from a copy of this object`,
    { details: { key } },
  );
}

/** Keys of all objects that a record names, besides its own. */
export function objectsOf(record: CheckpointRecord): ReadonlySet<string> {
  const subtasks = record.vertices.flatMap((vertex) => vertex.subtasks);
  const keys = new Set(exclusiveObjectsOf(subtasks));
  for (const { operators } of subtasks)
    for (const { keyed } of Object.values(operators))
      for (const { files } of keyed) for (const { object } of files ?? []) keys.add(object);
  return keys;
}

/** Keys of the objects that belong to these snapshots alone; what they refer to, others share. */
export function exclusiveObjectsOf(subtasks: readonly SubtaskSnapshot[]): ReadonlySet<string> {
  const keys = new Set<string>();
  for (const { operators, channels } of subtasks) {
    if (channels?.data.kind === 'object') keys.add(channels.data.key);
    for (const { keyed, operator } of Object.values(operators)) {
      for (const { data, waiting } of keyed) {
        if (data.kind === 'object') keys.add(data.key);
        if (waiting?.kind === 'object') keys.add(waiting.key);
      }
      if (operator?.data.kind === 'object') keys.add(operator.data.key);
    }
  }
  return keys;
}
