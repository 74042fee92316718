/** A function for each record, as a sink. */
import type { Sink } from '../connector/sink.ts';

/** At least once: after a restart calls repeat. A checkpoint waits for what has been called. */
export function forEachSink<T>(visit: (value: T) => void | Promise<void>): Sink<T> {
  return {
    guarantee: 'at-least-once',
    accepted: true,
    createWriter: async () => ({
      async write({ values }) {
        for (const value of values) await visit(value);
      },
      flush: async () => {},
      close: async () => {},
    }),
  };
}
