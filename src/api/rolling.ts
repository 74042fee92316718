/** The folds that `sum`, `min`, `max`, `minBy` and `maxBy` are: on a keyed stream they roll, in a window they run once. */
import type { ReduceFunction } from '../operators/functions.ts';
import type { NumericField } from './keying.ts';

/** The first record, with the sum in its field. */
export const summing =
  <T>(field: NumericField<T>): ReduceFunction<T> =>
  (a, b) => ({ ...a, [field]: (a[field] as number) + (b[field] as number) }); // NumericField admits numbers only

/** The first record, with the smallest value in its field. */
export const smallest =
  <T>(field: keyof T): ReduceFunction<T> =>
  (a, b) =>
    b[field] < a[field] ? { ...a, [field]: b[field] } : a;

export const largest =
  <T>(field: keyof T): ReduceFunction<T> =>
  (a, b) =>
    b[field] > a[field] ? { ...a, [field]: b[field] } : a;

/** The whole record that has the smallest value; the first of equals. */
export const smallestBy =
  <T>(field: keyof T): ReduceFunction<T> =>
  (a, b) =>
    b[field] < a[field] ? b : a;

export const largestBy =
  <T>(field: keyof T): ReduceFunction<T> =>
  (a, b) =>
    b[field] > a[field] ? b : a;
