/**
 * Schemas as plain JSON, the form in which they are stored with the data they describe, and back. Version 1.
 */
import { invalid } from '../base/errors.ts';
import type { JsonValue } from '../base/json.ts';
import type { Field, Schema, SchemaNode } from './schema.ts';

const DEPTH_MAX = 64;
const FIELDS_MAX = 10_000;
const PRIMITIVES: ReadonlySet<string> = new Set([
  'boolean',
  'int8',
  'int16',
  'int32',
  'int64',
  'bigint',
  'float',
  'double',
  'string',
  'bytes',
  'timestamp',
  'key',
  'generic',
]);

export function schemaToJson(schema: Schema<unknown>): JsonValue {
  switch (schema.kind) {
    case 'decimal':
      return { kind: 'decimal', precision: schema.precision, scale: schema.scale };
    case 'struct':
      return { kind: 'struct', fields: schema.fields.map(fieldToJson) };
    case 'array':
      return { kind: 'array', element: schemaToJson(schema.element) };
    case 'map':
      return { kind: 'map', key: schemaToJson(schema.key), value: schemaToJson(schema.value) };
    case 'optional':
      return { kind: 'optional', inner: schemaToJson(schema.inner) };
    case 'enum':
      return { kind: 'enum', symbols: [...schema.symbols] };
    case 'union':
      return {
        kind: 'union',
        tag: schema.tag,
        variants: Object.entries(schema.variants).map(([name, variant]) => [
          name,
          schemaToJson(variant),
        ]),
      };
    case 'tuple':
      return { kind: 'tuple', elements: schema.elements.map(schemaToJson) };
    default:
      return { kind: schema.kind };
  }
}

// Defaults are functions of the program, not of stored data: they stay out.
const fieldToJson = (field: Field): JsonValue => ({
  name: field.name,
  schema: schemaToJson(field.schema),
  ...(field.aliases === undefined ? {} : { aliases: [...field.aliases] }),
});

/** @throws `invalid` BAD_SCHEMA_JSON with the path of what is wrong. */
export function schemaFromJson(json: unknown, path = '$', depth = 0): Schema<unknown> {
  const fail = (what: string): never => {
    throw invalid('BAD_SCHEMA_JSON', `schema at ${path}: ${what}`, { path });
  };
  if (depth > DEPTH_MAX) return fail(`nested deeper than ${DEPTH_MAX}`);
  if (typeof json !== 'object' || json === null || !('kind' in json))
    return fail('expected an object with a kind');
  const node = json as Readonly<Record<string, unknown>>;
  const kind = String(node['kind']);
  const list = (name: string): readonly unknown[] => {
    const value = node[name];
    if (!Array.isArray(value)) return fail(`${name} is not a list`);
    return value.length > FIELDS_MAX ? fail(`more than ${FIELDS_MAX} ${name}`) : value;
  };
  const inner = (name: string): Schema<unknown> =>
    schemaFromJson(node[name], `${path}.${name}`, depth + 1);
  const parsed = (): SchemaNode => {
    if (PRIMITIVES.has(kind)) return { kind } as SchemaNode; // PRIMITIVES lists exactly the kinds without members
    switch (kind) {
      case 'decimal':
        return { kind, precision: Number(node['precision']), scale: Number(node['scale']) };
      case 'struct':
        return {
          kind,
          fields: list('fields').map((field, i) =>
            fieldFromJson(field, `${path}.fields[${i}]`, depth + 1),
          ),
        };
      case 'array':
        return { kind, element: inner('element') };
      case 'map':
        return { kind, key: inner('key'), value: inner('value') };
      case 'optional':
        return { kind, inner: inner('inner') };
      case 'enum':
        return { kind, symbols: list('symbols').map(String) };
      case 'union': {
        const variants = list('variants').map((entry, i): [string, Schema<unknown>] => {
          if (!Array.isArray(entry)) return fail(`variants[${i}] is not a pair`);
          return [String(entry[0]), schemaFromJson(entry[1], `${path}.variants[${i}]`, depth + 1)];
        });
        return { kind, tag: String(node['tag']), variants: Object.fromEntries(variants) };
      }
      case 'tuple':
        return {
          kind,
          elements: list('elements').map((e, i) =>
            schemaFromJson(e, `${path}.elements[${i}]`, depth + 1),
          ),
        };
      default:
        return fail(`unknown kind ${JSON.stringify(kind)}`);
    }
  };
  return Object.freeze(parsed());
}

function fieldFromJson(json: unknown, path: string, depth: number): Field {
  const node = json as { name?: unknown; schema?: unknown; aliases?: unknown } | null;
  if (typeof node !== 'object' || node === null || typeof node.name !== 'string') {
    throw invalid('BAD_SCHEMA_JSON', `schema at ${path}: expected a field with a name`, { path });
  }
  return {
    name: node.name,
    schema: schemaFromJson(node.schema, path, depth),
    ...(Array.isArray(node.aliases) ? { aliases: node.aliases.map(String) } : {}),
  };
}

/** One line for people: `struct{id: int64, note?: string}`. */
export function describeSchema(schema: Schema<unknown>): string {
  switch (schema.kind) {
    case 'decimal':
      return `decimal(${schema.precision}, ${schema.scale})`;
    case 'struct':
      return `struct{${schema.fields.map(describeField).join(', ')}}`;
    case 'array':
      return `array<${describeSchema(schema.element)}>`;
    case 'map':
      return `map<${describeSchema(schema.key)}, ${describeSchema(schema.value)}>`;
    case 'optional':
      return `${describeSchema(schema.inner)}?`;
    case 'enum':
      return `enum(${schema.symbols.join(' | ')})`;
    case 'union':
      return `union(${schema.tag}: ${Object.keys(schema.variants).join(' | ')})`;
    case 'tuple':
      return `[${schema.elements.map(describeSchema).join(', ')}]`;
    default:
      return schema.kind;
  }
}

const describeField = ({ name, schema }: Field): string =>
  schema.kind === 'optional'
    ? `${name}?: ${describeSchema(schema.inner)}`
    : `${name}: ${describeSchema(schema)}`;
