/**
 * The unit of work: a batch of records in arrival order, as a struct of arrays.
 *
 * Ownership: whoever is handed a batch owns it; the producer does not touch it again. Records (the values)
 * are immutable from the moment they are emitted: operators in one chain, and local channels, share them
 * by reference.
 *
 * Time is event time in milliseconds since the Unix epoch. `NO_TIMESTAMP` is "none"; `MAX_WATERMARK` is
 * the end of time. Infinities are used on purpose: sums with them stay what they mean.
 */

export const NO_TIMESTAMP = Number.NEGATIVE_INFINITY;
/** The watermark before any other. */
export const MIN_WATERMARK = Number.NEGATIVE_INFINITY;
/** Nothing with an event time follows. */
export const MAX_WATERMARK = Number.POSITIVE_INFINITY;

/** Aim for the size of batches. Producers may emit smaller ones; a larger one is a bug. */
export const BATCH_SIZE_MAX = 1024;

export interface RecordBatch<T> {
  /** `values.length` is the size of the batch; at least 1, at most BATCH_SIZE_MAX. */
  readonly values: readonly T[];
  /** Event time of each record (may be longer than `values`), or null where no record has one. */
  readonly timestamps: Float64Array | null;
}
