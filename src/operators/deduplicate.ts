/**
 * The first or the last record of each key, by arrival or by event time (Flink's deduplication, ROW_NUMBER() = 1).
 *
 * The first by arrival is all that is ever said of a key. Otherwise a record may replace what was said before: then changes are emitted.
 * Of equal times the one that came first is the first, and the one that came last the last.
 */
import { invalid } from '../base/errors.ts';
import type { StateTtl, ValueStateDescriptor } from '../state/descriptor.ts';
import { valueState } from '../state/descriptor.ts';
import type { Schema } from '../types/schema.ts';
import { NO_TIMESTAMP } from '../types/record-batch.ts';
import { t } from '../types/t.ts';
import type { Change } from './changes.ts';
import type { Collector, KeyedProcessFunction } from './functions.ts';

export interface DeduplicateOptions {
  readonly keep: 'first' | 'last';
  /** What order counts. Default 'arrival'. */
  readonly by?: 'arrival' | 'event-time';
  /** Forgets a key some time after its last record: its next record is a first one. Default never. */
  readonly ttl?: StateTtl;
}

interface Kept<T> {
  readonly value: T;
  readonly timestamp: number;
}

const options = (ttl: StateTtl | undefined): { ttl?: StateTtl } =>
  ttl === undefined ? {} : { ttl };

/** Keeps a mark by key; `T` itself is not stored. */
export function keepFirst<K, T>({
  ttl,
}: DeduplicateOptions): KeyedProcessFunction<K, T, T, { seen: ValueStateDescriptor<boolean> }> {
  return {
    state: { seen: valueState(t.boolean(), { default: false, ...options(ttl) }) },
    processElement(value, { state }, out: Collector<T>) {
      if (state.seen.value) return;
      state.seen.value = true;
      out.collect(value);
    },
  };
}

export function keepChanging<K, T>(
  { keep, by = 'arrival', ttl }: DeduplicateOptions,
  schema: Schema<T>,
): KeyedProcessFunction<K, T, Change<T>, { kept: ValueStateDescriptor<Kept<T> | undefined> }> {
  const kept = t.struct({ value: schema, timestamp: t.timestamp() }) as unknown as Schema<Kept<T>>; // of these fields
  const replaces = (before: Kept<T>, timestamp: number): boolean => {
    if (by === 'arrival') return keep === 'last';
    return keep === 'last' ? timestamp >= before.timestamp : timestamp < before.timestamp;
  };
  return {
    state: { kept: valueState(kept, options(ttl)) },
    processElement(value, { state, timestamp }, out: Collector<Change<T>>) {
      if (by === 'event-time' && timestamp === NO_TIMESTAMP)
        throw invalid(
          'RECORD_WITHOUT_TIMESTAMP',
          'deduplication by event time needs records with timestamps; give the sources a WatermarkStrategy with withTimestampAssigner',
        );
      const before = state.kept.value;
      if (before !== undefined && !replaces(before, timestamp)) return;
      state.kept.value = { value, timestamp: by === 'arrival' ? 0 : timestamp };
      if (before !== undefined) out.collect({ kind: '-U', value: before.value });
      out.collect({ kind: before === undefined ? '+I' : '+U', value });
    },
  };
}
