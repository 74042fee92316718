/**
 * How records become the bytes of one file and back, where a file is more than its lines, as in Parquet. A record's place in a file is its
 * number.
 */
import type { Decoded } from './format.ts';
import type { Schema } from '../types/schema.ts';

export interface BulkFormat<T> {
  readonly schema: Schema<T>;
  /** Begins a file. */
  createWriter(): BulkWriter<T>;
  /** @throws `data` when it is no file of this format */
  openFile(file: BulkFile): Promise<BulkReader<T>>;
}

export interface BulkWriter<T> {
  /** About how many bytes the file will hold. */
  readonly size: number;
  add(value: T): void;
  /** The whole file. Nothing is added afterwards. */
  take(): Uint8Array;
}

export interface BulkFile {
  readonly name: string;
  readonly size: number;
  read(offset: number, length: number): Promise<Uint8Array>;
}

export interface BulkReader<T> {
  /** How many records the file holds. */
  readonly records: number;
  /** Records from number `from` on: as many as are cheap to read together, at least one. Held until the next call. */
  read(from: number): Promise<readonly Decoded<T>[]>;
}
