/**
 * Row codecs: binary values, written and read by code generated for one schema.
 *
 * Layout, version 1 (docs/reference/row-format.md), little-endian, no padding:
 *   boolean, int8 1 byte | int16 2 | int32 4 | int64, timestamp, double 8 (IEEE double) | bigint 8 | float 4
 *   string, decimal: see row-text.ts        bytes: varint length, bytes
 *   struct: presence bitmap of its optional fields (ceil(n/8) bytes), then the fields in order, absent ones left out
 *   array: varint count, elements | map: varint count, key, value, ... (a 0 byte after each whose schema takes no bytes)
 *   tuple: elements | optional: 1 byte, value | enum: varint index | union: varint variant index, struct
 *   key: the self-describing ordered key of key-codec.ts | generic: varint length, MessagePack
 *
 * int64 and timestamp are doubles: a double costs 1 ns to write or read, a varint several, and a safe integer fits.
 * Cost: guarded by `bench/types.ts`.
 */
import type { ByteReader, ByteWriter } from '../base/bytes.ts';
import { invalid } from '../base/errors.ts';
import type { Codec } from './codec.ts';
import { readGeneric, writeGeneric } from './generic-values.ts';
import { readSelfDescribedKey, writeSelfDescribedKey } from './key-codec.ts';
import { corrupt, readVarint } from './row-corruption.ts';
import { DecodeCode, literal } from './row-decode-code.ts';
import { EncodeCode } from './row-encode-code.ts';
import { readText, writeText } from './row-text.ts';
import { checkSchemaLimits } from './schema-limits.ts';
import type { Schema } from './schema.ts';

/** A codec whose batch loops are generated too: one call per batch, everything in locals. */
export interface RowCodec<T> extends Codec<T> {
  /** Appends values[from] to values[to - 1]. @throws `invalid` VALUE_DOES_NOT_MATCH_SCHEMA */
  encodeRows(values: readonly T[], from: number, to: number, writer: ByteWriter): void;
  /** Reads `count` values. @throws `data` CORRUPT_VALUE */
  decodeRows(count: number, reader: ByteReader): T[];
}

const codecs = new WeakMap<object, RowCodec<unknown>>();

/** The codec of a schema; generated once per schema object. @throws `invalid` SCHEMA_TOO_LARGE */
export function rowCodec<T>(schema: Schema<T>): RowCodec<T> {
  let codec = codecs.get(schema);
  if (codec === undefined) {
    codec = generate(schema);
    codecs.set(schema, codec);
  }
  return codec as RowCodec<T>; // the map holds under each schema the codec generated from it
}

const FEW_CHARACTERS = 16;

/** Reads `n` ASCII bytes as text. Up to FEW_CHARACTERS one fromCharCode of fixed arity takes half the time of a call into the runtime. */
const ascii = ((): ((b: Buffer, p: number, n: number) => string) => {
  const cases = Array.from({ length: FEW_CHARACTERS }, (_, i) => {
    const bytes = Array.from({ length: i + 1 }, (_unused, k) => `b[p + ${k}]`);
    return `case ${i + 1}: return S(${bytes.join(', ')});`;
  });
  const make = new Function(
    'S',
    `return (b, p, n) => { switch (n) { case 0: return ''; ${cases.join(' ')} default: return b.toString('latin1', p, p + n); } };`,
  );
  return make(String.fromCharCode) as (b: Buffer, p: number, n: number) => string; // the text above
})();

/** What generated code may call. */
const RUNTIME = {
  ascii,
  corrupt,
  readGeneric,
  readKey: readSelfDescribedKey,
  readText,
  readVarint,
  writeGeneric,
  writeKey: writeSelfDescribedKey,
  writeText,
  mismatch(path: string, value: unknown): never {
    const shown =
      value === null ? 'null' : typeof value === 'number' ? String(value) : typeof value;
    throw invalid(
      'VALUE_DOES_NOT_MATCH_SCHEMA',
      `${path === '' ? 'the value' : path} does not match its schema: got ${shown}`,
      { path },
    );
  },
  own: (object: object, name: string): unknown =>
    Object.hasOwn(object, name) ? Reflect.get(object, name) : undefined,
  setOwn(target: object, name: string, value: unknown): void {
    Object.defineProperty(target, name, {
      value,
      enumerable: true,
      writable: true,
      configurable: true,
    });
  },
};

/** Makes objects of these properties from their values, of the same hidden class as decoded ones. */
export function objectMaker(
  names: readonly string[],
): (values: readonly unknown[]) => Record<string, unknown> {
  const members = names.map((name, i): [string, string] => [name, `a[${i}]`]);
  const make = new Function('R', `return (a) => { ${literal(members, 'x')} return x; };`);
  return make(RUNTIME) as (values: readonly unknown[]) => Record<string, unknown>; // the text above
}

function generate(schema: Schema<unknown>): RowCodec<unknown> {
  checkSchemaLimits(schema);
  const constants: unknown[] = [];
  const encode = new EncodeCode(constants).encode(schema, 'v', '');
  const decode = new DecodeCode(constants).decode(schema, 'x');
  const writing = 'let p = w.position, b = w.buffer, d = w.data;';
  const reading = 'const b = r.buffer, d = r.data, E = r.end; let p = r.position;';
  // Generated code holds only text made from the schema, with every name quoted by JSON.stringify.
  const make = new Function(
    'R',
    'C',
    `'use strict'; return {
encode(v, w) { ${writing} ${encode}\nw.position = p; },
decode(r) { ${reading} ${decode}\nr.position = p; return x; },
encodeRows(a, from, to, w) { ${writing} for (let i = from; i < to; i++) { const v = a[i]; ${encode}\n} w.position = p; },
decodeRows(n, r) { ${reading} const out = []; for (let i = 0; i < n; i++) { ${decode}\nout.push(x); } r.position = p; return out; },
};`,
  );
  return make(RUNTIME, constants) as RowCodec<unknown>; // the generated object has just these methods
}
