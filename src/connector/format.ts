/** How text becomes records and back: what file and message connectors share. A record is a line, or several where a format says so. */
import type { Schema } from '../types/schema.ts';

/** `reason` says what is wrong with the text. */
export type Decoded<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly reason: string };

export interface LineFormat<T> {
  /** What it reads, where known. */
  readonly schema?: Schema<T>;
  decode(line: string): Decoded<T>;
  encode(value: T): string;
  /**
   * True for a line that leaves a record open which was whole before it, or closes one that was open, as an odd number of quotes does in
   * CSV. A record then ends with the next such line. Absent: a line is a record.
   */
  flipsContinuation?(line: string): boolean;
  /** Present when the first line of a file is a header: what reads the rest of that file. A refusal fails the job. */
  readHeader?(line: string): LineFormat<T>;
  /** The first line of each file that is written. */
  encodeHeader?(): string | undefined;
}
