/** Aggregate functions that several queries use. */
import { type Schema, t, type WindowAggregate } from '../../../src/index.ts';

/** COUNT(*) */
export const countOf = (): WindowAggregate<unknown, number, number> => ({
  accumulatorSchema: t.int64(),
  createAccumulator: () => 0,
  add: (_value, count) => count + 1,
  getResult: (count) => count,
  merge: (a, b) => a + b,
});

/** The records with the largest measure: several when they tie. */
export const pickLargest = <T>(
  schema: Schema<T>,
  measure: (value: T) => number,
): WindowAggregate<T, readonly T[], readonly T[]> => ({
  accumulatorSchema: t.array(schema),
  createAccumulator: () => [],
  add: (value, largest) => {
    const first = largest[0];
    if (first === undefined) return [value];
    const difference = measure(value) - measure(first);
    if (difference < 0) return largest;
    return difference > 0 ? [value] : [...largest, value];
  },
  getResult: (largest) => largest,
  merge: (a, b) => {
    if (a.length === 0 || b.length === 0) return a.length === 0 ? b : a;
    const difference = measure(a[0]!) - measure(b[0]!);
    if (difference === 0) return [...a, ...b];
    return difference > 0 ? a : b;
  },
});
