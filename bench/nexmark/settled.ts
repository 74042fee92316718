/** Results as they are compared. */
import type { Query } from './queries.ts';

/** What counts in the end, in an order of its own. */
export function settled(results: readonly object[], { replaces }: Query): readonly string[] {
  const texts = (result: object, fields: readonly string[]): string =>
    JSON.stringify(fields.map((field) => (result as Record<string, unknown>)[field]));
  const last =
    replaces === undefined
      ? results
      : [...new Map(results.map((result) => [texts(result, replaces), result])).values()];
  return last.map((result) => texts(result, Object.keys(result).toSorted())).toSorted();
}
