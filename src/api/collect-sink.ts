/** Records into an array of this process, in the order of arrival: for tests and scripts, in a job on the main thread. */
import type { Sink } from '../connector/sink.ts';

/** @public An array that nobody holds takes anything. */
export function collectSink(into: never[]): Sink<unknown>;
export function collectSink<T>(into: T[]): Sink<T>;
export function collectSink<T>(into: T[]): Sink<T> {
  return {
    guarantee: 'at-least-once',
    accepted: true,
    createWriter: async () => ({
      write({ values }) {
        for (const value of values) into.push(value);
      },
      flush: async () => {},
      close: async () => {},
    }),
  };
}
