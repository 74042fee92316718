/**
 * The bytes of snapshots in an object store: `<jobId>/chk-<id>/<attempt>-<n>-<name>`; the attempt that wrote them is in the name.
 *
 * One put for each snapshot beyond the inline threshold.
 */
import { crc32 } from 'node:zlib';
import { MillraceError } from '../base/errors.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { readVerified } from '../storage/read-verified.ts';
import type { SnapshotReader, SnapshotWriter, StateHandle } from './snapshot.ts';

/** Flink's execution.checkpointing.data-inline-threshold. */
export const INLINE_THRESHOLD_BYTES = 20 * 1024;

export const inlineHandle = (bytes: Uint8Array): StateHandle => ({
  kind: 'inline',
  base64: Buffer.from(bytes).toString('base64'),
  crc32: crc32(bytes),
});

/** Snapshot bytes of one attempt for one checkpoint. */
export class StoreSnapshotWriter implements SnapshotWriter {
  readonly #store: ObjectStore;
  readonly #prefix: string;
  readonly #inlineThreshold: number;
  #objects = 0;
  bytesWritten = 0;

  constructor(
    store: ObjectStore,
    params: {
      jobId: string;
      checkpointId: number;
      attemptId: string;
      inlineThresholdBytes?: number;
    },
  ) {
    this.#store = store;
    this.#prefix = `${params.jobId}/chk-${params.checkpointId}/${params.attemptId}`;
    this.#inlineThreshold = params.inlineThresholdBytes ?? INLINE_THRESHOLD_BYTES;
  }

  async write(name: string, chunks: readonly Uint8Array[]): Promise<StateHandle> {
    const bytes = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks);
    this.bytesWritten += bytes.length;
    if (bytes.length <= this.#inlineThreshold) return inlineHandle(bytes);
    const key = `${this.#prefix}-${this.#objects++}-${name}`;
    await this.#store.put(key, bytes);
    return { kind: 'object', key, offset: 0, length: bytes.length, crc32: crc32(bytes) };
  }
}

export class StoreSnapshotReader implements SnapshotReader {
  readonly #store: ObjectStore;

  constructor(store: ObjectStore) {
    this.#store = store;
  }

  async read(handle: StateHandle): Promise<Uint8Array> {
    if (handle.kind === 'inline')
      return verified(Buffer.from(handle.base64, 'base64'), handle, 'in the checkpoint record');
    const { key, offset, length } = handle;
    return readVerified(
      () =>
        this.#store.get(key, { offset, length }).catch((cause: unknown) => {
          throw snapshotCorrupt(key, 'cannot be read in full', cause);
        }),
      (bytes) => verified(bytes, handle, key),
    );
  }
}

function verified(bytes: Uint8Array, handle: StateHandle, place: string): Uint8Array {
  if (crc32(bytes) === handle.crc32) return bytes;
  throw snapshotCorrupt(place, 'does not match its checksum');
}

function snapshotCorrupt(key: string, what: string, cause?: unknown): Error {
  const code = (cause as { code?: unknown } | undefined)?.code;
  const kind = (cause as { kind?: unknown } | undefined)?.kind;
  if (cause !== undefined && kind !== 'data' && code !== 'BAD_RANGE') return cause as Error; // a store rejects with errors
  return new MillraceError(
    'data',
    code === 'OBJECT_NOT_FOUND' ? 'SNAPSHOT_MISSING' : 'SNAPSHOT_CORRUPT',
    `snapshot ${key} ${code === 'OBJECT_NOT_FOUND' ? 'is missing' : what}. Nothing was deleted; restore from another retained checkpoint, or bring the object back`,
    {
      details: { key },
      cause,
    },
  );
}
