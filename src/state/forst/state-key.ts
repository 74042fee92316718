/**
 * Keys of state in the tree. Layout, big-endian, readable without any schema so that compaction and inspection need no job:
 *
 *   key group u16 | state u16 | namespace length u8 | namespace | key length u16 | key | user key of a map entry
 *
 * Key groups come first: a subtask's range, a rescale and a savepoint's slice are contiguous. Then the state and the namespace, so that
 * within a key group a window is contiguous. States whose number is odd are maps: everything before the user key is their prefix.
 *
 * Timers are states of their own; their namespace is the timestamp (an ordered double), then the key, and the timer's own namespace in
 * the place of the user key: within a key group they lie in the order in which they are due.
 */
import { ByteWriter, copyOf } from '../../base/bytes.ts';
import { internal } from '../../base/errors.ts';
import type { PrefixLengths } from '../../lsm/compaction/compaction-task.ts';
import type { Codec } from '../../types/codec.ts';

const HEAD_BYTES = 5;
const NAMESPACE_BYTES_MAX = 255;
const KEY_BYTES_MAX = 16 * 1024;

/** Name of this layout in compaction tasks. */
export const STATE_KEY_PREFIXES = 'state-key-1';

/** For whoever compacts trees of state. */
export const STATE_PREFIX_LENGTHS: PrefixLengths = {
  [STATE_KEY_PREFIXES]: stateKeyPrefixLength,
};

/** Length of a map's prefix; 0 for other states. The tree's `prefixLength`. */
export function stateKeyPrefixLength(key: Uint8Array, start: number, end: number): number {
  if (end - start < HEAD_BYTES || (key[start + 3]! & 1) === 0) return 0;
  return keyEnd(key, start) - start;
}

/** Where the key ends and a user key begins. */
function keyEnd(key: Uint8Array, start: number): number {
  const lengthAt = start + HEAD_BYTES + key[start + 4]!;
  return lengthAt + 2 + ((key[lengthAt]! << 8) | key[lengthAt + 1]!);
}

export interface StateKeyParts {
  readonly keyGroup: number;
  readonly state: number;
  readonly namespace: Uint8Array;
  readonly key: Uint8Array;
  readonly userKey: Uint8Array;
}

export function parseStateKey(bytes: Uint8Array): StateKeyParts {
  const namespaceEnd = HEAD_BYTES + bytes[4]!;
  const end = keyEnd(bytes, 0);
  return {
    keyGroup: (bytes[0]! << 8) | bytes[1]!,
    state: (bytes[2]! << 8) | bytes[3]!,
    namespace: bytes.subarray(HEAD_BYTES, namespaceEnd),
    key: bytes.subarray(namespaceEnd + 2, end),
    userKey: bytes.subarray(end),
  };
}

/** @hot */
export const keyGroupOf = (key: Uint8Array): number => (key[0]! << 8) | key[1]!;

/** @hot */
export const stateOf = (key: Uint8Array): number => (key[2]! << 8) | key[3]!;

/** The smallest and the largest key that a range of key groups may have. */
export function boundsOf(range: { start: number; end: number }): {
  smallest: Uint8Array;
  largest: Uint8Array;
} {
  return {
    smallest: Uint8Array.of(range.start >>> 8, range.start),
    largest: Uint8Array.of(range.end >>> 8, range.end, 0xff, 0xff, 0xff),
  };
}

/** Where the timers of a key group begin that are due at `timestamp` or later. */
export function timersFrom(keyGroup: number, state: number, timestamp: number): Uint8Array {
  const writer = new ByteWriter(HEAD_BYTES + 8);
  for (const byte of [keyGroup >>> 8, keyGroup, state >>> 8, state, 8]) writer.u8(byte);
  writeOrdered(writer, timestamp);
  return copyOf(writer.view());
}

/** Writes the keys of one state; what it returns is overwritten by the next. */
export class StateKeyWriter {
  readonly #writer = new ByteWriter(128);
  readonly #state: number;
  readonly #keyCodec: Codec<unknown>;
  readonly #namespaceCodec: Codec<unknown> | undefined;
  readonly #userKeyCodec: Codec<unknown> | undefined;

  constructor(params: {
    state: number;
    key: Codec<unknown>;
    namespace?: Codec<unknown> | undefined;
    userKey?: Codec<unknown> | undefined;
  }) {
    this.#state = params.state;
    this.#keyCodec = params.key;
    this.#namespaceCodec = params.namespace;
    this.#userKeyCodec = params.userKey;
  }

  /** @hot @throws `invalid` KEY_TOO_LARGE */
  write(keyGroup: number, namespace: unknown, key: unknown): Uint8Array {
    const writer = this.#writer;
    this.#head(keyGroup);
    const namespaceCodec = this.#namespaceCodec;
    if (namespaceCodec !== undefined) {
      const at = writer.position;
      namespaceCodec.encode(namespace, writer);
      const length = writer.position - at;
      if (length > NAMESPACE_BYTES_MAX) throw tooLong('namespace', length, NAMESPACE_BYTES_MAX);
      writer.buffer[at - 1] = length;
    }
    this.#key(key);
    return writer.view();
  }

  /** @hot An entry of a map: `write` must have been called for its key just before. */
  withUserKey(prefixLength: number, userKey: unknown): Uint8Array {
    const writer = this.#writer;
    writer.position = prefixLength;
    this.#userKeyCodec!.encode(userKey, writer);
    return writer.view();
  }

  /** A timer: its timestamp sorts it. */
  writeTimer(keyGroup: number, timestamp: number, key: unknown, namespace: unknown): Uint8Array {
    const writer = this.#writer;
    this.#head(keyGroup);
    writer.buffer[writer.position - 1] = 8;
    writeOrdered(writer, timestamp);
    this.#key(key);
    this.#namespaceCodec!.encode(namespace, writer);
    return writer.view();
  }

  #head(keyGroup: number): void {
    const writer = this.#writer;
    writer.reset();
    writer.ensure(HEAD_BYTES + 2);
    const { buffer } = writer;
    buffer[0] = keyGroup >>> 8;
    buffer[1] = keyGroup;
    buffer[2] = this.#state >>> 8;
    buffer[3] = this.#state;
    buffer[4] = 0;
    writer.position = HEAD_BYTES;
  }

  #key(key: unknown): void {
    const writer = this.#writer;
    const at = writer.position;
    writer.u16(0);
    this.#keyCodec.encode(key, writer);
    const length = writer.position - at - 2;
    if (length > KEY_BYTES_MAX) throw tooLong('key', length, KEY_BYTES_MAX);
    writer.buffer[at] = length >>> 8;
    writer.buffer[at + 1] = length;
  }
}

function tooLong(what: string, length: number, limit: number) {
  return internal(
    'KEY_TOO_LARGE',
    `a ${what} of ${length} bytes is longer than the ${limit} that state keys may have; key by something shorter, such as a hash`,
  );
}

function writeOrdered(writer: ByteWriter, value: number): void {
  writer.ensure(8);
  const { data, position } = writer;
  data.setFloat64(position, value === 0 ? 0 : value);
  const negative = (data.getUint8(position) & 0x80) !== 0;
  if (negative)
    for (let i = 0; i < 8; i++) data.setUint8(position + i, ~data.getUint8(position + i));
  else data.setUint8(position, data.getUint8(position) | 0x80);
  writer.position += 8;
}

const ordered = new DataView(new ArrayBuffer(8));

/** @hot When the timer of this key is due. */
export function timerTime(key: Uint8Array): number {
  const negative = (key[HEAD_BYTES]! & 0x80) === 0;
  for (let i = 0; i < 8; i++) ordered.setUint8(i, key[HEAD_BYTES + i]! ^ (negative ? 0xff : 0));
  if (!negative) ordered.setUint8(0, key[HEAD_BYTES]! & 0x7f);
  return ordered.getFloat64(0);
}
