/** The order of a map's user keys, as maps are read by it: that of their encoded bytes. */
import { ByteWriter, copyOf } from '../../base/bytes.ts';
import { compareKeys } from '../../lsm/key-order.ts';
import { keyCodec } from '../../types/key-codec.ts';
import type { Schema } from '../../types/schema.ts';
import type { MapRange, UserEntry, UserKeyRange } from '../keyed-state-backend.ts';

/** Bounds as bytes; `to` is left out, undefined is none. */
export interface ByteRange {
  readonly from: Uint8Array;
  readonly to: Uint8Array | undefined;
}

export interface OrderedEntry {
  readonly bytes: Uint8Array;
  readonly key: unknown;
  readonly value: unknown;
}

const SMALLEST = new Uint8Array(0);

export class UserKeyOrder {
  readonly #codec;
  readonly #writer = new ByteWriter(64);

  constructor(schema: Schema<unknown>) {
    this.#codec = keyCodec(schema);
  }

  bytesOf(key: unknown): Uint8Array {
    this.#writer.reset();
    this.#codec.encode(key, this.#writer);
    return copyOf(this.#writer.view());
  }

  boundsOf({ from, to }: UserKeyRange): ByteRange {
    return {
      from: from === undefined ? SMALLEST : this.bytesOf(from),
      to: to === undefined ? undefined : this.bytesOf(to),
    };
  }

  /** Those of the entries that lie in the range, in order. */
  within(
    entries: Iterable<{ readonly key: unknown; readonly value: unknown }>,
    { from, to }: ByteRange,
  ): OrderedEntry[] {
    const found: OrderedEntry[] = [];
    for (const { key, value } of entries) {
      const bytes = this.bytesOf(key);
      if (compareKeys(bytes, from) < 0 || (to !== undefined && compareKeys(bytes, to) >= 0))
        continue;
      found.push({ bytes, key, value });
    }
    return found.sort((a, b) => compareKeys(a.bytes, b.bytes));
  }
}

/** A map in memory: all at once, as it is when the first part is read. */
export class MapInMemory implements MapRange {
  readonly #read: () => readonly OrderedEntry[];
  #done = false;

  constructor(read: () => readonly OrderedEntry[]) {
    this.#read = read;
  }

  load(): undefined {}

  take(): readonly UserEntry[] | undefined {
    if (this.#done) return undefined;
    this.#done = true;
    return this.#read().map(({ key, value }): UserEntry => [key, value]);
  }
}
