/** A table that a tree reads: its place, and its index and filter once they have been fetched. */
import { MillraceError } from '../base/errors.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { readVerified } from '../storage/read-verified.ts';
import type { StoredFile } from './block-source.ts';
import { openParts, type TableParts } from './table-format.ts';
import type { TableMeta } from './table-meta.ts';

/** File numbers are the process's: every tree draws from here. */
let lastFileNo = 0;

export class OpenTable implements StoredFile {
  readonly fileNo = ++lastFileNo;
  readonly meta: TableMeta;
  parts: TableParts | undefined;
  #opening: Promise<void> | undefined;

  constructor(meta: TableMeta) {
    this.meta = meta;
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

  /** Memory of index and filter. */
  get bytesInMemory(): number {
    const { parts } = this;
    return parts === undefined ? 0 : parts.filter.length + parts.index.bytesInMemory;
  }

  /** Takes index and filter from bytes that are at hand. */
  openFrom(bytes: Uint8Array): void {
    const { object, offset, metaOffset } = this.meta;
    this.parts = openParts(bytes.subarray(metaOffset), { object, offset: offset + metaOffset });
  }

  /** Fetches index and filter in one request, once. @throws `data` TABLE_CORRUPT, BLOCK_CORRUPT, TABLE_MISSING; `unavailable` */
  open(store: ObjectStore, signal?: AbortSignal): Promise<void> {
    if (this.parts !== undefined) return Promise.resolve();
    this.#opening ??= this.#fetch(store, signal).finally(() => {
      this.#opening = undefined;
    });
    return this.#opening;
  }

  async #fetch(store: ObjectStore, signal?: AbortSignal): Promise<void> {
    const { object, offset, length, metaOffset } = this.meta;
    const range = { offset: offset + metaOffset, length: length - metaOffset };
    this.parts = await readVerified(
      () =>
        store.get(object, range, signal).catch((cause: unknown) => {
          throw missingOr(cause, object);
        }),
      (bytes) => openParts(bytes, { object, offset: range.offset }),
    );
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
