/**
 * From a key to its key group: keyGroup = murmur(hash(key)) mod maxParallelism, the same in every process.
 *
 * The finaliser is Flink's (MathUtils.murmurHash, after Appleby's MurmurHash3); the hash under it is ours, so key groups
 * agree between Millrace processes, not with Flink.
 */
import { ByteWriter } from '../base/bytes.ts';
import { invalid } from '../base/errors.ts';
import { keyCodec } from './key-codec.ts';
import type { Schema } from './schema.ts';

/** Murmur3 of one 32-bit block, as a non-negative int. */
export function murmurHash(code: number): number {
  let h = Math.imul(code, 0xcc9e2d51);
  h = (h << 15) | (h >>> 17);
  h = Math.imul(h, 0x1b873593);
  h = (h << 13) | (h >>> 19);
  h = (Math.imul(h, 5) + 0xe6546b64) | 0;
  h ^= 4;
  h ^= h >>> 16;
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  h ^= h >>> 16;
  if (h >= 0) return h;
  return h === -2147483648 ? 0 : -h;
}

const SCRATCH = new DataView(new ArrayBuffer(8));

function hashNumber(value: number): number {
  const int = value | 0;
  if (int === value) return int;
  if (Number.isNaN(value)) throw nullKey('NaN');
  SCRATCH.setFloat64(0, value);
  return SCRATCH.getInt32(0) ^ SCRATCH.getInt32(4);
}

function hashString(value: string): number {
  let h = 0;
  for (let i = 0; i < value.length; i++) h = (Math.imul(h, 31) + value.charCodeAt(i)) | 0;
  return h;
}

function hashBytes(bytes: Uint8Array, length: number): number {
  let h = 0;
  for (let i = 0; i < length; i++) h = (Math.imul(h, 31) + bytes[i]!) | 0;
  return h;
}

const nullKey = (what: string): Error =>
  invalid(
    'NULL_KEY',
    `a key is ${what}; filter such records out before keyBy, or give them a key of their own`,
  );

const SELF_KEY: Schema<unknown> = { kind: 'key' };
const composites = new WeakMap<object, (key: unknown) => number>();

function compositeHash(schema: Schema<unknown>): (key: unknown) => number {
  let hash = composites.get(schema);
  if (hash === undefined) {
    const codec = keyCodec(schema);
    const writer = new ByteWriter(64);
    hash = (key) => {
      writer.reset();
      codec.encode(key, writer);
      return hashBytes(writer.buffer, writer.position);
    };
    composites.set(schema, hash);
  }
  return hash;
}

/** @hot bench/types.ts. The hash under the key group; equal for keys that are equal by value. */
export function hashKey(key: unknown, schema: Schema<unknown> = SELF_KEY): number {
  switch (typeof key) {
    case 'number':
      return hashNumber(key);
    case 'string':
      return schema.kind === 'decimal' ? compositeHash(schema)(key) : hashString(key);
    case 'boolean':
      return key ? 1231 : 1237;
    case 'bigint':
      return hashNumber(Number(BigInt.asIntN(32, key ^ (key >> 32n))));
    case 'object':
      if (key === null) throw nullKey('null');
      return compositeHash(schema)(key);
    default:
      throw nullKey(typeof key);
  }
}

/** @hot bench/types.ts. The key group of a key. @throws `invalid` NULL_KEY @public */
export function keyGroupOf(key: unknown, maxParallelism: number, schema?: Schema<unknown>): number {
  return murmurHash(hashKey(key, schema)) % maxParallelism;
}

/**
 * `keyGroupOf` for one schema. Its kind is looked at once, so that the loop over records stays monomorphic; a key of another type takes
 * the general way. @hot bench/types.ts @throws `invalid` NULL_KEY @public
 */
export function keyGroupFunction(
  schema: Schema<unknown>,
  maxParallelism: number,
): (key: unknown) => number {
  switch (schema.kind) {
    case 'int8':
    case 'int16':
    case 'int32':
    case 'int64':
    case 'timestamp':
    case 'float':
    case 'double':
      return (key) =>
        typeof key === 'number'
          ? murmurHash(hashNumber(key)) % maxParallelism
          : keyGroupOf(key, maxParallelism, schema);
    case 'string':
    case 'enum':
      return (key) =>
        typeof key === 'string'
          ? murmurHash(hashString(key)) % maxParallelism
          : keyGroupOf(key, maxParallelism, schema);
    default:
      return (key) => keyGroupOf(key, maxParallelism, schema);
  }
}
