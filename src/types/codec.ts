import type { ByteReader, ByteWriter } from '../base/bytes.ts';

/** Binary form of values of one schema. Monomorphic, generated; see `row-codec.ts` for the layout. */
export interface Codec<T> {
  /** Appends the value. @throws `invalid` VALUE_DOES_NOT_MATCH_SCHEMA naming the field path. */
  encode(value: T, writer: ByteWriter): void;
  /** Reads one value at the reader's position. @throws `data` CORRUPT_VALUE on bytes that are no such value. */
  decode(reader: ByteReader): T;
}
