/**
 * The first N records of each key by an order of their own (Flink's Top-N over input that is only appended to, ROW_NUMBER() <= N). Of equal
 * records the one that came first is before the other.
 *
 * State: the N records of a key, in order, as one value. Without ranks a record that enters is '+I', one that it drives out '-D'; with
 * ranks each rank whose record changes is '-U' and '+U'.
 *
 * Cost: a record that does not enter, one comparison; one that does, N moves and the writing of N records.
 */
import { invalid } from '../base/errors.ts';
import type { ValueStateDescriptor } from '../state/descriptor.ts';
import { type StateTtl, valueState } from '../state/descriptor.ts';
import type { Schema } from '../types/schema.ts';
import { t } from '../types/t.ts';
import type { Change, Ranked } from './changes.ts';
import type { Collector, KeyedProcessFunction } from './functions.ts';

export interface TopNOptions<T> {
  /** 1 to 10,000. */
  readonly n: number;
  /** Negative: `a` is before `b`. As for sorting an array. */
  readonly compare: (a: T, b: T) => number;
  /** Forgets a key some time after its last change. Default never. */
  readonly ttl?: StateTtl;
}

const N_MAX = 10_000;

type First<T> = ValueStateDescriptor<readonly T[]>;

/** @throws `invalid` BAD_TOP_N */
function firstOf<T>({ n, ttl }: TopNOptions<T>, schema: Schema<T>): First<T> {
  if (!Number.isInteger(n) || n < 1 || n > N_MAX)
    throw invalid('BAD_TOP_N', `topN: n is ${n}; it is an integer from 1 to ${N_MAX}`);
  const rows = t.array(schema) as Schema<readonly T[]>;
  return valueState(rows, { default: [], ...(ttl === undefined ? {} : { ttl }) });
}

/** Where it belongs among those in order, behind its equals. */
function placeOf<T>(rows: readonly T[], value: T, compare: (a: T, b: T) => number): number {
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (compare(rows[middle]!, value) <= 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

export function topN<K, T>(
  options: TopNOptions<T>,
  schema: Schema<T>,
): KeyedProcessFunction<K, T, Change<T>, { first: First<T> }> {
  return {
    state: { first: firstOf(options, schema) },
    processElement(value, { state }, out: Collector<Change<T>>) {
      const rows = state.first.value;
      const place = placeOf(rows, value, options.compare);
      if (place === options.n) return;
      const leaving = rows.length === options.n ? rows.at(-1) : undefined;
      if (leaving !== undefined) out.collect({ kind: '-D', value: leaving });
      out.collect({ kind: '+I', value });
      state.first.value = rows.toSpliced(place, 0, value).slice(0, options.n);
    },
  };
}

export function rankedTopN<K, T>(
  options: TopNOptions<T>,
  schema: Schema<T>,
): KeyedProcessFunction<K, T, Change<Ranked<T>>, { first: First<T> }> {
  return {
    state: { first: firstOf(options, schema) },
    processElement(value, { state }, out: Collector<Change<Ranked<T>>>) {
      const rows = state.first.value;
      const place = placeOf(rows, value, options.compare);
      if (place === options.n) return;
      const after = rows.toSpliced(place, 0, value).slice(0, options.n);
      for (let i = place; i < after.length; i++) {
        const now = { rank: i + 1, value: after[i]! };
        if (i === rows.length) {
          out.collect({ kind: '+I', value: now });
          continue;
        }
        out.collect({ kind: '-U', value: { rank: i + 1, value: rows[i]! } });
        out.collect({ kind: '+U', value: now });
      }
      state.first.value = after;
    },
  };
}
