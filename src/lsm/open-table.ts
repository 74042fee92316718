/** A table that a tree reads: its place, and its index and filter once they have been fetched. */
import { MillraceError } from '../base/errors.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { readVerified } from '../storage/read-verified.ts';
import {
  type BlockAddress,
  type StoredFile,
  TAIL_BLOCK,
  type TailHolder,
  type Tails,
} from './block-source.ts';
import { openParts, type TableParts } from './table-format.ts';
import type { TableMeta } from './table-meta.ts';

/** File numbers are the process's: every tree draws from here. */
let lastFileNo = 0;

export class OpenTable implements StoredFile, TailHolder {
  readonly fileNo = ++lastFileNo;
  readonly meta: TableMeta;
  /** Undefined: they have not been fetched, or their memory was needed. */
  parts: TableParts | undefined;
  tailUsed = false;
  /** It was part of a version that somebody was given: others may know the file. */
  givenOut = false;
  readonly #tails: Tails | undefined;
  readonly #turn: () => Promise<void>;
  #opening: Promise<TableParts> | undefined;
  #closed = false;

  /**
   * `tails`: whose budget index and filter are part of. `turn`: settles when it may take a millisecond or two to decode them, since those of many
   * tables may come at once.
   */
  constructor(meta: TableMeta, tails: Tails | undefined, turn: () => Promise<void>) {
    this.meta = meta;
    this.#tails = tails;
    this.#turn = turn;
  }

  get object(): string {
    return this.meta.object;
  }

  get offset(): number {
    return this.meta.offset;
  }

  get length(): number {
    return this.meta.length;
  }

  /** Where index and filter are. */
  get tail(): BlockAddress {
    const { length, metaOffset } = this.meta;
    return { index: TAIL_BLOCK, offset: metaOffset, length: length - metaOffset };
  }

  /** Memory of index and filter. */
  get bytesInMemory(): number {
    const { parts } = this;
    return parts === undefined ? 0 : parts.filter.length + parts.index.bytesInMemory;
  }

  /** Takes index and filter from bytes that are at hand. */
  openFrom(bytes: Uint8Array): TableParts {
    return this.#take(bytes.subarray(this.meta.metaOffset));
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  /** Index and filter, fetched in one request unless they are here. @throws `data` TABLE_CORRUPT, BLOCK_CORRUPT, TABLE_MISSING; `unavailable` */
  open(store: ObjectStore, signal?: AbortSignal): Promise<TableParts> {
    if (this.parts !== undefined) return Promise.resolve(this.parts);
    this.#opening ??= this.#fetch(store, signal).finally(() => {
      this.#opening = undefined;
    });
    return this.#opening;
  }

  dropTail(): void {
    this.parts = undefined;
  }

  /** Nobody opens it any more. */
  close(): void {
    this.#closed = true;
    this.#tails?.release(this);
  }

  async #fetch(store: ObjectStore, signal?: AbortSignal): Promise<TableParts> {
    const { object, offset } = this.meta;
    const { tail } = this;
    if (this.#tails?.isOnDisk(this, tail) === true) {
      await this.#turn();
      const cached = this.#fromDisk();
      if (cached !== undefined) return cached;
    }
    const range = { offset: offset + tail.offset, length: tail.length };
    return readVerified(
      async () => {
        const bytes = await store.get(object, range, signal).catch((cause: unknown) => {
          throw missingOr(cause, object);
        });
        await this.#turn();
        return bytes;
      },
      (bytes) => {
        const parts = this.#take(bytes);
        this.#tails?.write(this, tail, bytes);
        return parts;
      },
    );
  }

  #fromDisk(): TableParts | undefined {
    const bytes = this.#tails?.read(this, this.tail);
    if (bytes === undefined) return undefined;
    try {
      return this.#take(bytes);
    } catch {
      // Not what was written: the store has the truth.
      return undefined;
    }
  }

  #take(bytes: Uint8Array): TableParts {
    const { object, offset, metaOffset } = this.meta;
    const parts = openParts(bytes, { object, offset: offset + metaOffset });
    if (this.#closed) return parts;
    this.parts = parts;
    this.tailUsed = true;
    this.#tails?.hold(this, this.bytesInMemory);
    return parts;
  }
}

/** @throws nothing: maps a missing or shortened object to what it means here */
export function missingOr(cause: unknown, object: string): Error {
  const code = (cause as { code?: unknown } | undefined)?.code;
  if (code !== 'OBJECT_NOT_FOUND' && code !== 'BAD_RANGE') return cause as Error; // a store rejects with errors
  return new MillraceError(
    'data',
    code === 'OBJECT_NOT_FOUND' ? 'TABLE_MISSING' : 'TABLE_CORRUPT',
    `table ${object} ${code === 'OBJECT_NOT_FOUND' ? 'is missing' : 'is shorter than its metadata says'}. Nothing was deleted; bring the object back, or restore from another retained checkpoint`,
    { details: { object }, cause },
  );
}
