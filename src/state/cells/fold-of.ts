/** How what was added to a state later folds onto what it held; undefined where nothing folds. */
import { internal } from '../../base/errors.ts';
import type { StateDescriptor } from '../descriptor.ts';
import { hasTtl } from './stored-value.ts';

export function foldOf(
  descriptor: StateDescriptor,
): ((older: unknown, newer: unknown) => unknown) | undefined {
  switch (descriptor.kind) {
    case 'list':
      return (older, newer) => [...(older as unknown[]), ...(newer as unknown[])]; // lists hold arrays
    case 'reducing':
      return hasTtl(descriptor) ? undefined : descriptor.reduce;
    case 'aggregating': {
      const { aggregate } = descriptor;
      if (hasTtl(descriptor) || aggregate.merge === undefined) return undefined;
      return (older, newer) => aggregate.merge!(older, newer);
    }
    case 'value':
    case 'map':
      return undefined;
    default:
      throw internal('UNKNOWN_STATE_KIND', 'a state has a kind that is not known');
  }
}
