/** Names a side output and types its records. */
import type { Schema } from '../types/schema.ts';

export interface OutputTag<T> {
  readonly id: string;
  /** Absent: generic. */
  readonly schema?: Schema<T>;
}

/** @public A tag for a side output; `id` is unique within the operator. */
export function outputTag<T>(id: string, schema?: Schema<T>): OutputTag<T> {
  return schema === undefined ? { id } : { id, schema };
}
