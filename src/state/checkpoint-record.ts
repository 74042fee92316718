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
  for (const { operators } of subtasks) {
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

/** A checkpoint as the head lists it. */
export interface RetainedCheckpoint {
  readonly checkpointId: number;
  /** Key of its record. */
  readonly key: string;
  readonly completedAtMs: number;
}

/**
 * The job's head: the one object that says who coordinates the job and which checkpoints exist. Changed only by compare-and-set.
 */
export interface JobHead {
  readonly version: 1;
  readonly jobId: string;
  readonly generation: number;
  readonly status: 'running' | 'finished';
  /** Oldest first. */
  readonly checkpoints: readonly RetainedCheckpoint[];
}

/** A new coordinator's head: the same checkpoints under the next generation. */
export function takeOver(head: JobHead | undefined, jobId: string): JobHead {
  return head === undefined
    ? { version: 1, jobId, generation: 1, status: 'running', checkpoints: [] }
    : { ...head, generation: head.generation + 1 };
}

/** The head with one more checkpoint, at most `retained` in all. */
export function withCheckpoint(
  head: JobHead,
  checkpoint: RetainedCheckpoint,
  retained: number,
): JobHead {
  return { ...head, checkpoints: [...head.checkpoints, checkpoint].slice(-retained) };
}

export function finished(head: JobHead): JobHead {
  return { ...head, status: 'finished' };
}

/** Without checkpoints, as before the first run; the generation stays. */
export function emptied(head: JobHead): JobHead {
  return { ...head, status: 'running', checkpoints: [] };
}

export function encodeHead(head: JobHead): Uint8Array {
  const body = JSON.stringify(head);
  return Buffer.from(JSON.stringify({ crc32: crc32(body), body }));
}

export function decodeHead(bytes: Uint8Array, key: string): JobHead {
  return JSON.parse(checkedBody(bytes, key)) as JobHead; // written by encodeHead, guarded by its checksum
}
