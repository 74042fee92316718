/**
 * Writes the in-flight data of one worker's subtasks: what several of them bring at about the same time shares an object, so that requests
 * grow with workers.
 *
 *   <jobId>/chk-<id>/<attempt>-channels-<incarnation>-<n>   named after one of the attempts
 *
 * Small ones are kept in the checkpoint record.
 */
import { crc32 } from 'node:zlib';
import type { Timers } from '../base/world.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { inlineHandle } from './checkpoint-storage.ts';
import type { StateHandle } from './snapshot.ts';

/** How long a file waits for more after something has come. */
const LINGER_MS = 2;
const FILE_BYTES = 16 * 1024 * 1024;

interface Part {
  readonly bytes: Uint8Array;
  readonly done: PromiseWithResolvers<StateHandle>;
}

/** Of one checkpoint. */
interface OpenFile {
  readonly attemptId: string;
  readonly parts: Part[];
  bytes: number;
  timer: { cancel(): void } | undefined;
}

export interface ChannelStateFilesParams {
  readonly store: Pick<ObjectStore, 'put'>;
  readonly timers: Pick<Timers, 'after'>;
  readonly jobId: string;
  /** Unique for a worker's life. */
  readonly incarnation: string;
  readonly inlineBytesMax: number;
  readonly subtasksPerFileMax: number;
}

export class ChannelStateFiles {
  readonly #params: ChannelStateFilesParams;
  readonly #open = new Map<number, OpenFile>();
  #files = 0;

  constructor(params: ChannelStateFilesParams) {
    this.#params = params;
  }

  /** Settles when the bytes are durable. */
  write(checkpointId: number, attemptId: string, bytes: Uint8Array): Promise<StateHandle> {
    const { inlineBytesMax, subtasksPerFileMax, timers } = this.#params;
    if (bytes.length <= inlineBytesMax) return Promise.resolve(inlineHandle(bytes));
    const done = Promise.withResolvers<StateHandle>();
    const file = this.#open.get(checkpointId) ?? {
      attemptId,
      parts: [],
      bytes: 0,
      timer: undefined,
    };
    this.#open.set(checkpointId, file);
    file.timer?.cancel();
    file.parts.push({ bytes, done });
    file.bytes += bytes.length;
    if (file.parts.length >= subtasksPerFileMax || file.bytes >= FILE_BYTES)
      this.#put(checkpointId, file);
    else file.timer = timers.after(LINGER_MS, () => this.#put(checkpointId, file));
    return done.promise;
  }

  #put(checkpointId: number, { attemptId, parts }: OpenFile): void {
    const { store, jobId, incarnation } = this.#params;
    this.#open.delete(checkpointId);
    const key = `${jobId}/chk-${checkpointId}/${attemptId}-channels-${incarnation}-${this.#files++}`;
    store.put(key, Buffer.concat(parts.map(({ bytes }) => bytes))).then(
      () => {
        let offset = 0;
        for (const { bytes, done } of parts) {
          const { length } = bytes;
          done.resolve({ kind: 'object', key, offset, length, crc32: crc32(bytes) });
          offset += length;
        }
      },
      (error: unknown) => {
        for (const { done } of parts) done.reject(error);
      },
    );
  }
}

/** A range of a handle's bytes, as a handle. */
export function rangeOf(
  data: StateHandle,
  range: { readonly offset: number; readonly length: number; readonly crc32: number },
): StateHandle {
  const { offset, length } = range;
  if (data.kind === 'object') return { ...data, ...range, offset: data.offset + offset };
  const bytes = Buffer.from(data.base64, 'base64').subarray(offset, offset + length);
  return { kind: 'inline', base64: bytes.toString('base64'), crc32: range.crc32 };
}
