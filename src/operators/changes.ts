/** Changes of a result that is not only appended to: what SQL calls a changelog. Flink's row kinds and their short names. */

/** Insert; update: what was there, and what is there now; delete. */
export type ChangeKind = '+I' | '-U' | '+U' | '-D';

export interface Change<T> {
  readonly kind: ChangeKind;
  readonly value: T;
}

/** A row among the first N of its key. */
export interface Ranked<T> {
  /** From 1. */
  readonly rank: number;
  readonly value: T;
}
