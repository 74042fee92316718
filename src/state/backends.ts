/** State backends by the name of `state.backend.type`. */
import { invalid } from '../base/errors.ts';
import { HashMapStateBackend } from './hashmap/hashmap-backend.ts';
import type { StateBackend } from './keyed-state-backend.ts';

const BACKENDS: Readonly<Record<string, () => StateBackend>> = {
  hashmap: () => new HashMapStateBackend(),
};

/** @throws `invalid` UNKNOWN_STATE_BACKEND */
export function stateBackendOf(name: string): StateBackend {
  if (!Object.hasOwn(BACKENDS, name)) {
    throw invalid(
      'UNKNOWN_STATE_BACKEND',
      `state.backend.type is ${JSON.stringify(name)}; known are ${Object.keys(BACKENDS).join(', ')}`,
    );
  }
  return BACKENDS[name]!();
}
