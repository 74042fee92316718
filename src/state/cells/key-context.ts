/**
 * The key that states refer to: one per backend, shared by its tables. The key group is computed when it is first asked for: a key that is
 * found by its identity does not need it.
 */
import { internal, invalid, type MillraceError } from '../../base/errors.ts';
import { keyIdentity } from '../../types/key-codec.ts';
import { hashKey, murmurHash } from '../../types/key-hash.ts';
import { PLAIN_KINDS } from '../../types/schema-kinds.ts';
import type { KeyedBackendParams } from '../keyed-state-backend.ts';

export type KeySpace = Pick<
  KeyedBackendParams,
  'keySchema' | 'maxParallelism' | 'keyGroupRange' | 'operatorId'
>;

export class KeyContext {
  key: unknown = undefined;
  keyId: unknown = undefined;
  /** Grows with every change of the key: what was found for an earlier version is stale. */
  version = 0;
  readonly #space: KeySpace;
  readonly #identify: (key: unknown) => unknown;
  /** Keys are their own identity. */
  readonly #plainKeys: boolean;
  #keyGroup = -1;
  #keyGroupVersion = -1;

  constructor(space: KeySpace) {
    this.#space = space;
    this.#identify = keyIdentity(space.keySchema);
    this.#plainKeys = PLAIN_KINDS.has(space.keySchema.kind);
  }

  /** @hot bench/runtime.ts @throws `invalid` NULL_KEY */
  set(key: unknown): void {
    if (key === undefined || key === null) throw missingKey(key, this.#space.operatorId);
    this.key = key;
    this.keyId = this.#plainKeys ? key : this.#identify(key);
    this.version++;
  }

  get keyGroup(): number {
    if (this.#keyGroupVersion !== this.version) {
      this.#keyGroup = keyGroupWithin(this.key, this.#space);
      this.#keyGroupVersion = this.version;
    }
    return this.#keyGroup;
  }
}

/** @throws `internal` KEY_OUTSIDE_RANGE: B1 */
function keyGroupWithin(key: unknown, space: KeySpace): number {
  const { keySchema, maxParallelism, keyGroupRange, operatorId } = space;
  const keyGroup = murmurHash(hashKey(key, keySchema)) % maxParallelism;
  if (keyGroup >= keyGroupRange.start && keyGroup <= keyGroupRange.end) return keyGroup;
  throw internal(
    'KEY_OUTSIDE_RANGE',
    `key group ${keyGroup} is outside ${keyGroupRange.start} to ${keyGroupRange.end} of operator ${operatorId}`,
  );
}

const missingKey = (key: unknown, operatorId: string): MillraceError =>
  invalid(
    'NULL_KEY',
    `a key of operator ${operatorId} is ${String(key)}; filter such records out before keyBy, or give them a key of their own`,
  );
