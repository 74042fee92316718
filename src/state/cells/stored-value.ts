/**
 * How each kind of state is stored: the codec between what a cell holds and bytes, its schema, and how bytes of an older schema
 * are read.
 */
import type { ByteReader } from '../../base/bytes.ts';
import { invalid, MillraceError } from '../../base/errors.ts';
import type { Codec } from '../../types/codec.ts';
import { checkCompatibility, resolvingDecoder } from '../../types/evolution.ts';
import { keyIdentity } from '../../types/key-codec.ts';
import { rowCodec } from '../../types/row-codec.ts';
import type { Schema } from '../../types/schema.ts';
import { t } from '../../types/t.ts';
import type { StateDescriptor } from '../descriptor.ts';
import type { MapEntry } from './keyed-states.ts';

export const hasTtl = (descriptor: StateDescriptor): boolean =>
  descriptor.ttl !== undefined && descriptor.ttl.update !== 'disabled';

/** The schema of one element: the user's, with the TTL stamp around it if there is one. */
export function elementSchema(descriptor: StateDescriptor): Schema<unknown> {
  if (!hasTtl(descriptor)) return descriptor.schema;
  return t.struct({ value: descriptor.schema, touchedMs: t.timestamp() });
}

/** The schema of what is stored for one key and namespace. */
export function storedSchema(descriptor: StateDescriptor): Schema<unknown> {
  const element = elementSchema(descriptor);
  switch (descriptor.kind) {
    case 'list':
      return t.array(element);
    case 'map':
      return t.map(descriptor.keySchema, element);
    default:
      return element;
  }
}

/** Cells of map state hold entries by identity; bytes hold a plain map. */
export function storedCodec(descriptor: StateDescriptor): Codec<unknown> {
  const schema = storedSchema(descriptor);
  const codec = rowCodec(schema);
  if (descriptor.kind !== 'map') return codec;
  return {
    encode(value, writer) {
      const entries = value as ReadonlyMap<unknown, MapEntry>; // cells of map state
      codec.encode(new Map([...entries.values()].map((entry) => [entry.key, entry.value])), writer);
    },
    decode: toEntries(descriptor.keySchema, codec.decode),
  };
}

const toEntries =
  (keySchema: Schema<unknown>, decode: Codec<unknown>['decode']) =>
  (reader: ByteReader): ReadonlyMap<unknown, MapEntry> => {
    const identify = keyIdentity(keySchema);
    const stored = decode(reader) as ReadonlyMap<unknown, unknown>; // map schemas decode to maps
    return new Map([...stored].map(([key, value]) => [identify(key), { key, value }]));
  };

/** Reads values written with `writer` as what the state holds now. @throws `data` STATE_SCHEMA_INCOMPATIBLE naming state and field */
export function storedDecoder(
  name: string,
  writer: Schema<unknown>,
  descriptor: StateDescriptor,
): Codec<unknown>['decode'] {
  const reader = storedSchema(descriptor);
  const compatibility = checkCompatibility(writer, reader);
  if (compatibility.outcome === 'incompatible') {
    throw new MillraceError(
      'data',
      'STATE_SCHEMA_INCOMPATIBLE',
      `state "${name}" cannot be restored: ${compatibility.reasons.join('; ')}`,
      {
        details: { state: name, reasons: compatibility.reasons },
      },
    );
  }
  const decode = resolvingDecoder(writer, reader);
  return descriptor.kind === 'map' ? toEntries(descriptor.keySchema, decode) : decode;
}

/** @throws `invalid` GENERIC_STATE_TYPE */
export function refuseGeneric(name: string, schema: Schema<unknown>): void {
  if (!containsGeneric(schema)) return;
  throw invalid(
    'GENERIC_STATE_TYPE',
    `state "${name}" has a generic (schemaless) type: it could not be evolved. Give it a schema, or set pipeline.generic-types to true`,
    { state: name },
  );
}

function containsGeneric(schema: Schema<unknown>): boolean {
  switch (schema.kind) {
    case 'generic':
      return true;
    case 'struct':
      return schema.fields.some((field) => containsGeneric(field.schema));
    case 'array':
      return containsGeneric(schema.element);
    case 'map':
      return containsGeneric(schema.key) || containsGeneric(schema.value);
    case 'optional':
      return containsGeneric(schema.inner);
    case 'tuple':
      return schema.elements.some(containsGeneric);
    case 'union':
      return Object.values(schema.variants).some(containsGeneric);
    default:
      return false;
  }
}
