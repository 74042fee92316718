/** Records as lines in the log of the process, for development. At least once: after a restart lines repeat. */
import type { Sink } from '../connector/sink.ts';

/** @public Writes each record as one line through the world's standard output. */
export function printSink<T>(): Sink<T> {
  return {
    guarantee: 'at-least-once',
    accepted: true,
    createWriter: async ({ print }) => ({
      write({ values }) {
        for (const value of values)
          print(typeof value === 'string' ? value : JSON.stringify(value));
      },
      flush: async () => {},
      close: async () => {},
    }),
  };
}
