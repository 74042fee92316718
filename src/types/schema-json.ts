/**
 * Schemas as plain JSON, the form in which they are stored with the data they describe, and back. Version 1.
 */
import { invalid } from '../base/errors.ts';
import type { JsonValue } from '../base/json.ts';
import { checkValue } from './check-value.ts';
import { checkSchemaLimits, SCHEMA_DEPTH_MAX } from './schema-limits.ts';
import type { Field, Schema } from './schema.ts';
import { checkFieldNames, t } from './t.ts';
import { valueFromJson, valueToJson } from './value-json.ts';

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

/** @throws `invalid` SCHEMA_TOO_LARGE */
export function schemaToJson(schema: Schema<unknown>): JsonValue {
  checkSchemaLimits(schema);
  return toJson(schema);
}

function toJson(schema: Schema<unknown>): JsonValue {
  switch (schema.kind) {
    case 'decimal':
      return { kind: 'decimal', precision: schema.precision, scale: schema.scale };
    case 'struct':
      return { kind: 'struct', fields: schema.fields.map(fieldToJson) };
    case 'array':
      return { kind: 'array', element: toJson(schema.element) };
    case 'map':
      return { kind: 'map', key: toJson(schema.key), value: toJson(schema.value) };
    case 'optional':
      return { kind: 'optional', inner: toJson(schema.inner) };
    case 'enum':
      return { kind: 'enum', symbols: [...schema.symbols] };
    case 'union':
      return {
        kind: 'union',
        tag: schema.tag,
        variants: Object.entries(schema.variants).map(([name, variant]) => [name, toJson(variant)]),
      };
    case 'tuple':
      return { kind: 'tuple', elements: schema.elements.map(toJson) };
    default:
      return { kind: schema.kind };
  }
}

// With its default: who reads the data without the program has to fill in the fields that older data lacks, too.
const fieldToJson = (field: Field): JsonValue => ({
  name: field.name,
  schema: toJson(field.schema),
  ...(field.aliases === undefined ? {} : { aliases: [...field.aliases] }),
  ...(Object.hasOwn(field, 'default') ? { default: valueToJson(field.default) } : {}),
});

/** @throws `invalid` BAD_SCHEMA_JSON with the path of what is wrong. */
export function schemaFromJson(json: unknown): Schema<unknown> {
  const schema = parse(json, '$', 0);
  checkSchemaLimits(schema);
  return schema;
}

function fail(path: string, what: string): never {
  throw invalid('BAD_SCHEMA_JSON', `schema at ${path}: ${what}`, { path });
}

/** A JSON object, whose inherited properties do not count. */
class Node {
  readonly #properties: object;
  readonly path: string;
  readonly depth: number;

  constructor(json: unknown, path: string, depth: number) {
    if (typeof json !== 'object' || json === null || Array.isArray(json))
      fail(path, 'expected an object');
    this.#properties = json;
    this.path = path;
    this.depth = depth;
  }

  get(name: string): unknown {
    return Object.getOwnPropertyDescriptor(this.#properties, name)?.value;
  }

  has(name: string): boolean {
    return Object.hasOwn(this.#properties, name);
  }

  text(name: string): string {
    const value = this.get(name);
    return typeof value === 'string' ? value : fail(this.path, `${name} is not text`);
  }

  number(name: string): number {
    const value = this.get(name);
    return typeof value === 'number' ? value : fail(this.path, `${name} is not a number`);
  }

  list(name: string): readonly unknown[] {
    const value = this.get(name);
    if (!Array.isArray(value)) return fail(this.path, `${name} is not a list`);
    return value.length > FIELDS_MAX ? fail(this.path, `more than ${FIELDS_MAX} ${name}`) : value;
  }

  texts(name: string): readonly string[] {
    return this.list(name).map((value) =>
      typeof value === 'string' ? value : fail(this.path, `${name} holds something else than text`),
    );
  }

  schema(name: string): Schema<unknown> {
    return parse(this.get(name), `${this.path}.${name}`, this.depth + 1);
  }
}

function parse(json: unknown, path: string, depth: number): Schema<unknown> {
  if (depth > SCHEMA_DEPTH_MAX) return fail(path, `nested deeper than ${SCHEMA_DEPTH_MAX}`);
  const node = new Node(json, path, depth);
  const kind = node.text('kind');
  if (PRIMITIVES.has(kind)) return Object.freeze({ kind }) as Schema<unknown>; // PRIMITIVES lists exactly the kinds without members
  try {
    return build(kind, node);
  } catch (error) {
    const { code, message } = error as { code?: unknown; message: string };
    // What the builder refuses gets the path of the stored schema.
    if (code === 'BAD_SCHEMA') return fail(path, message);
    throw error;
  }
}

function build(kind: string, node: Node): Schema<unknown> {
  switch (kind) {
    case 'decimal':
      return t.decimal(node.number('precision'), node.number('scale'));
    case 'struct': {
      const fields = node.list('fields').map((field, i) => parseField(field, i, node));
      checkFieldNames(fields);
      return Object.freeze({ kind, fields: Object.freeze(fields) });
    }
    case 'array':
      return t.array(node.schema('element'));
    case 'map':
      return t.map(node.schema('key'), node.schema('value'));
    case 'optional':
      return t.optional(node.schema('inner'));
    case 'enum': {
      const [first, ...rest] = node.texts('symbols');
      return first === undefined ? fail(node.path, 'no symbols') : t.enum(first, ...rest);
    }
    case 'union':
      return t.union(node.text('tag'), parseVariants(node));
    case 'tuple':
      return t.tuple(
        ...node
          .list('elements')
          .map((element, i) => parse(element, `${node.path}.elements[${i}]`, node.depth + 1)),
      );
    default:
      return fail(node.path, `unknown kind ${JSON.stringify(kind)}`);
  }
}

function parseVariants(node: Node): Readonly<Record<string, Schema<object>>> {
  const names = new Set<string>();
  const entries = node.list('variants').map((entry, i): [string, Schema<object>] => {
    const at = `${node.path}.variants[${i}]`;
    if (!Array.isArray(entry) || typeof entry[0] !== 'string')
      return fail(at, 'expected a pair of name and schema');
    if (names.has(entry[0])) fail(at, `variant ${entry[0]} stands twice`);
    names.add(entry[0]);
    // `t.union` refuses variants that are no structs.
    return [entry[0], parse(entry[1], at, node.depth + 1) as Schema<object>];
  });
  return Object.fromEntries(entries);
}

function parseField(json: unknown, index: number, parent: Node): Field {
  const node = new Node(json, `${parent.path}.fields[${index}]`, parent.depth + 1);
  const schema = parse(node.get('schema'), node.path, parent.depth + 1);
  return Object.freeze({
    name: node.text('name'),
    schema,
    ...(node.has('aliases') ? { aliases: Object.freeze([...node.texts('aliases')]) } : {}),
    ...(node.has('default') ? { default: defaultOf(node, schema) } : {}),
  });
}

function defaultOf(node: Node, schema: Schema<unknown>): unknown {
  const checked = checkValue(schema, valueFromJson(node.get('default')));
  return checked.ok ? checked.value : fail(`${node.path}.default`, checked.reason);
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
