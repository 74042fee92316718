/** How lines of text become records and back: what file and message connectors share. */
import type { Schema } from '../types/schema.ts';

/** `reason` says what is wrong with the line. */
export type Decoded<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly reason: string };

export interface LineFormat<T> {
  /** What it reads, where known. */
  readonly schema?: Schema<T>;
  decode(line: string): Decoded<T>;
  encode(value: T): string;
}
