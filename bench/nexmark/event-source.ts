/**
 * Events in memory as a source: ready-made batches, so that what reading costs is in neither side of a comparison. With several splits
 * batches are dealt out in turn, so that all subtasks advance through event time together.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { FixedSplitEnumerator } from '../../src/connector/collection-source.ts';
import type { SourceSplit } from '../../src/connector/source.ts';
import type { Source } from '../../src/index.ts';
import { BATCH_SIZE_MAX, type RecordBatch } from '../../src/types/record-batch.ts';
import { type Event, eventSchema } from './model.ts';

export interface EventSourceOptions {
  readonly splits: number;
  /** Called when the first split of this thread is polled first. */
  readonly onStart: () => void;
  /** A stream that goes on. Default: a split ends when it has been read. */
  readonly trickle?: Trickle;
}

/** From batch `after` on one comes every `everyMs`, and none ends a split. */
export interface Trickle {
  readonly after: number;
  readonly everyMs: number;
  /** Called before the first that waits. */
  readonly onSlow: () => void;
}

export const batchesOf = (events: readonly Event[]): readonly RecordBatch<Event>[] =>
  Array.from({ length: Math.ceil(events.length / BATCH_SIZE_MAX) }, (_, i) => ({
    values: events.slice(i * BATCH_SIZE_MAX, (i + 1) * BATCH_SIZE_MAX),
    timestamps: null,
  }));

export function eventSource(
  batches: readonly RecordBatch<Event>[],
  { splits: count, onStart, trickle }: EventSourceOptions,
): Source<Event> {
  const splits: readonly SourceSplit[] = Array.from({ length: count }, (_, i) => ({
    id: `events-${i}-of-${count}`,
    data: i,
  }));
  let started = false;
  return {
    boundedness: 'bounded',
    schema: eventSchema,
    createEnumerator: (context, restored) => new FixedSplitEnumerator(context, splits, restored),
    createReader: () => ({
      openSplit: async ({ split, position }) => {
        let next = (position as number | undefined) ?? (split.data as number); // both made here
        const closed = Promise.withResolvers<null>();
        return {
          poll: () => {
            if (!started) {
              started = true;
              onStart();
            }
            const batch = batches[next];
            const slow = trickle !== undefined && next >= trickle.after;
            if (slow) trickle.onSlow();
            if (batch === undefined) return slow ? closed.promise : null;
            next += count;
            return slow
              ? Promise.race([sleep(trickle.everyMs, batch, { ref: false }), closed.promise])
              : batch;
          },
          position: () => next,
          close: async () => closed.resolve(null),
        };
      },
      close: async () => {},
    }),
  };
}
