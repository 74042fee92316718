/** When the last of what a cell holds expires, so that nothing of it has to be kept. */
import type { StateDescriptor } from '../descriptor.ts';
import type { MapEntry } from './keyed-states.ts';
import { hasTtl } from './stored-value.ts';
import type { Stamped } from './ttl-states.ts';

/** Epoch milliseconds, by the value of a cell; undefined without TTL. */
export function expiryOfStored(
  descriptor: StateDescriptor,
): ((value: unknown) => number) | undefined {
  if (!hasTtl(descriptor)) return undefined;
  const { ttlMs } = descriptor.ttl!;
  const last = (all: Iterable<Stamped>): number => {
    let touchedMs = Number.NEGATIVE_INFINITY;
    for (const stamped of all) touchedMs = Math.max(touchedMs, stamped.touchedMs);
    return touchedMs + ttlMs;
  };
  // TTL states store these.
  switch (descriptor.kind) {
    case 'list':
      return (value) => last(value as readonly Stamped[]);
    case 'map':
      return (value) => {
        const entries = [...(value as ReadonlyMap<unknown, MapEntry>).values()];
        return last(entries.map((entry) => entry.value as Stamped));
      };
    default:
      return (value) => (value as Stamped).touchedMs + ttlMs;
  }
}
