/**
 * Schemaless values as MessagePack, and the warning that goes with them.
 *
 * Each value stands alone in its bytes. Objects travel as records, which keeps them apart from Maps. What would be lost without
 * a word (functions, symbols, a property named `__proto__`, cycles) is refused when it is written.
 */
import { Packr } from 'msgpackr';
import type { ByteReader, ByteWriter } from '../base/bytes.ts';
import { invalid, MillraceError } from '../base/errors.ts';
import type { Logger } from '../base/world.ts';

const packr = new Packr({ useRecords: true, moreTypes: true, structuredClone: false });

const DEPTH_MAX = 128;

function refuse(what: string): never {
  throw invalid(
    'VALUE_DOES_NOT_MATCH_SCHEMA',
    `a value without a schema holds ${what}, which cannot be written; give it a schema or leave that out`,
  );
}

function check(value: unknown, depth: number): void {
  if (typeof value === 'function' || typeof value === 'symbol') refuse(`a ${typeof value}`);
  if (typeof value === 'string' && !value.isWellFormed()) refuse('text with lone surrogates');
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return;
  if (depth > DEPTH_MAX) refuse(`itself, or more than ${DEPTH_MAX} levels`);
  if (Array.isArray(value) || value instanceof Set) {
    for (const element of value) check(element, depth + 1);
  } else if (value instanceof Map) {
    for (const [key, element] of value) {
      check(key, depth + 1);
      check(element, depth + 1);
    }
  } else {
    for (const [name, element] of Object.entries(value)) {
      if (name === '__proto__') refuse('a property named __proto__');
      check(element, depth + 1);
    }
  }
}

/** @throws `invalid` VALUE_DOES_NOT_MATCH_SCHEMA */
export function writeGeneric(value: unknown, writer: ByteWriter): void {
  check(value, 0);
  writer.bytes(packr.pack(value));
}

/** @throws `data` CORRUPT_VALUE */
export function readGeneric(bytes: Uint8Array, reader: ByteReader): unknown {
  try {
    return packr.unpack(bytes);
  } catch (cause) {
    throw new MillraceError(
      'data',
      'CORRUPT_VALUE',
      `the schemaless value that ends at byte ${reader.position} cannot be read`,
      { cause },
    );
  }
}

const warned = new Set<string>();

/** Says once per place that values without a schema travel there. */
export function warnGeneric(place: string, logger: Logger): void {
  if (warned.has(place)) return;
  warned.add(place);
  logger.log(
    'warn',
    `${place} has no schema: its records are written as schemaless MessagePack, two to three times slower and larger. Give one with .returns(schema).`,
    { code: 'GENERIC_TYPE', place },
  );
}
