/**
 * The text of encoding functions, one per schema; `row-codec.ts` compiles it and states the layout.
 *
 * In scope of the text: `w` the writer and, as locals, its `b` (buffer), `d` (data) and `p` (position); `R` the runtime; `C`
 * the constants. Invariants:
 * E1 room is made before it is written to, for a run of fixed-width fields at once;
 * E2 whoever may grow the writer is called with `w.position` set, and `b`, `d`, `p` are read again after it;
 * E3 every name from a schema enters the text through JSON.stringify.
 */
import { decimalPattern } from './decimal.ts';
import { TEXT_BYTES_PER_UNIT, TEXT_HEADER_BYTES } from './row-text.ts';
import { rowBytesMin } from './schema-limits.ts';
import type { Field, Schema } from './schema.ts';

/** Widths of the kinds whose rows are always as long. */
const FIXED_WIDTHS: Readonly<Partial<Record<Schema<unknown>['kind'], number>>> = {
  boolean: 1,
  int8: 1,
  int16: 2,
  int32: 4,
  float: 4,
  int64: 8,
  bigint: 8,
  double: 8,
  timestamp: 8,
};

/** Names of Object.prototype: read as own properties only, lest a missing field be found there. */
const INHERITED: ReadonlySet<string> = new Set(Object.getOwnPropertyNames(Object.prototype));

/** The expression for a field of an object. */
function member(object: string, name: string): string {
  const quoted = JSON.stringify(name);
  return INHERITED.has(name) ? `R.own(${object}, ${quoted})` : `${object}[${quoted}]`;
}

const room = (bytes: string | number): string =>
  `if (p + ${bytes} > b.length) { w.position = p; w.ensure(${bytes}); b = w.buffer; d = w.data; }`;

const RELOAD = 'p = w.position; b = w.buffer; d = w.data;';

type Struct = Schema<unknown> & { kind: 'struct' };

export class EncodeCode {
  readonly constants: unknown[];
  #names = 0;

  constructor(constants: unknown[]) {
    this.constants = constants;
  }

  #fresh(prefix: string): string {
    return `${prefix}${this.#names++}`;
  }

  #constant(value: unknown): string {
    return `C[${this.constants.push(value) - 1}]`;
  }

  /** Statements that write `value`, a variable. */
  encode(schema: Schema<unknown>, value: string, path: string): string {
    const width = FIXED_WIDTHS[schema.kind];
    if (width !== undefined) return `${room(width)} ${this.#fixed(schema, value, path)}`;
    const bad = `R.mismatch(${JSON.stringify(path)}, ${value});`;
    switch (schema.kind) {
      case 'string':
        return `if (typeof ${value} !== 'string') ${bad} ${this.#text(value)}`;
      case 'decimal': {
        const pattern = this.#constant(decimalPattern(schema.precision, schema.scale));
        return `if (typeof ${value} !== 'string' || !${pattern}.test(${value})) ${bad} ${this.#text(value)}`;
      }
      case 'bytes':
        return `if (!(${value} instanceof Uint8Array)) ${bad} w.position = p; w.bytes(${value}); ${RELOAD}`;
      case 'key':
        return `w.position = p; R.writeKey(${value}, w); ${RELOAD}`;
      case 'generic':
        return `w.position = p; R.writeGeneric(${value}, w); ${RELOAD}`;
      case 'enum': {
        const index = this.#fresh('x');
        const indexes = this.#constant(new Map(schema.symbols.map((symbol, n) => [symbol, n])));
        return `const ${index} = ${indexes}.get(${value}); if (${index} === undefined) ${bad} ${this.#varint(index)}`;
      }
      default:
        return this.#composite(schema, value, path);
    }
  }

  #text(value: string): string {
    return `${room(`${value}.length * ${TEXT_BYTES_PER_UNIT} + ${TEXT_HEADER_BYTES}`)} p = R.writeText(b, p, ${value});`;
  }

  #varint(value: string): string {
    return `if (${value} < 128) { ${room(1)} b[p++] = ${value}; } else { w.position = p; w.varint(${value}); ${RELOAD} }`;
  }

  /** Room has been made. */
  #fixed(schema: Schema<unknown>, v: string, path: string): string {
    const bad = `R.mismatch(${JSON.stringify(path)}, ${v});`;
    switch (schema.kind) {
      case 'boolean':
        return `if (typeof ${v} !== 'boolean') ${bad} b[p++] = ${v} ? 1 : 0;`;
      case 'int8':
        return `if (typeof ${v} !== 'number' || (${v} << 24 >> 24) !== ${v}) ${bad} b[p++] = ${v} & 255;`;
      case 'int16':
        return `if (typeof ${v} !== 'number' || (${v} << 16 >> 16) !== ${v}) ${bad} d.setInt16(p, ${v}, true); p += 2;`;
      case 'int32':
        return `if (typeof ${v} !== 'number' || (${v} | 0) !== ${v}) ${bad} d.setInt32(p, ${v}, true); p += 4;`;
      case 'float':
        return `if (typeof ${v} !== 'number') ${bad} d.setFloat32(p, ${v}, true); p += 4;`;
      case 'bigint':
        return `if (typeof ${v} !== 'bigint' || BigInt.asIntN(64, ${v}) !== ${v}) ${bad} d.setBigInt64(p, ${v}, true); p += 8;`;
      case 'double':
        return `if (typeof ${v} !== 'number') ${bad} d.setFloat64(p, ${v}, true); p += 8;`;
      default:
        return `if (!Number.isSafeInteger(${v})) ${bad} d.setFloat64(p, ${v}, true); p += 8;`;
    }
  }

  #composite(schema: Schema<unknown>, value: string, path: string): string {
    const bad = `R.mismatch(${JSON.stringify(path)}, ${value});`;
    switch (schema.kind) {
      case 'struct':
        return this.#struct(schema, value, path);
      case 'array':
        return this.#array(schema.element, value, path);
      case 'map': {
        const [k, v] = [this.#fresh('k'), this.#fresh('v')];
        return `if (!(${value} instanceof Map)) ${bad} ${this.#varint(`${value}.size`)}
for (const [${k}, ${v}] of ${value}) { ${this.encode(schema.key, k, `${path}{key}`)} ${this.encode(schema.value, v, `${path}{}`)} ${this.#pad(rowBytesMin(schema.key) + rowBytesMin(schema.value))} }`;
      }
      case 'optional':
        return `${room(1)} if (${value} === undefined) b[p++] = 0; else { b[p++] = 1; ${this.encode(schema.inner, value, path)} }`;
      case 'tuple': {
        const elements = schema.elements.map((element, n) => {
          const name = this.#fresh('f');
          return `const ${name} = ${value}[${n}]; ${this.encode(element, name, `${path}[${n}]`)}`;
        });
        return `if (!Array.isArray(${value}) || ${value}.length !== ${schema.elements.length}) ${bad}\n${elements.join('\n')}`;
      }
      case 'union': {
        const cases = Object.entries(schema.variants).map(
          ([name, variant], n) =>
            `case ${JSON.stringify(name)}: { const n = ${n}; ${this.#varint('n')} ${this.encode(variant, value, `${path}<${name}>`)} break; }`,
        );
        return `if (typeof ${value} !== 'object' || ${value} === null) ${bad} switch (${member(value, schema.tag)}) { ${cases.join('\n')} default: ${bad} }`;
      }
      default:
        return bad;
    }
  }

  #array(element: Schema<unknown>, value: string, path: string): string {
    const [i, e] = [this.#fresh('i'), this.#fresh('e')];
    return `if (!Array.isArray(${value})) R.mismatch(${JSON.stringify(path)}, ${value}); ${this.#varint(`${value}.length`)}
for (let ${i} = 0; ${i} < ${value}.length; ${i}++) { const ${e} = ${value}[${i}]; ${this.encode(element, e, `${path}[]`)} ${this.#pad(rowBytesMin(element))} }`;
  }

  /** Elements that take no bytes are given one, so that a count can never exceed the bytes that follow. */
  #pad(bytesMin: number): string {
    return bytesMin > 0 ? '' : `${room(1)} b[p++] = 0;`;
  }

  #struct(schema: Struct, value: string, path: string): string {
    const optional = schema.fields.filter((field) => field.schema.kind === 'optional');
    const lines = [
      `if (typeof ${value} !== 'object' || ${value} === null) R.mismatch(${JSON.stringify(path)}, ${value});`,
    ];
    const names = new Map<Field, string>();
    for (const field of schema.fields) {
      const name = this.#fresh('f');
      names.set(field, name);
      lines.push(`const ${name} = ${member(value, field.name)};`);
    }
    lines.push(...this.#bitmap(optional, names));
    let roomLeft = 0;
    schema.fields.forEach((field, n) => {
      const name = names.get(field)!; // every field was named above
      const at = path === '' ? field.name : `${path}.${field.name}`;
      const width = FIXED_WIDTHS[field.schema.kind];
      if (width !== undefined) {
        if (roomLeft === 0) {
          roomLeft = runWidth(schema.fields, n);
          lines.push(room(roomLeft));
        }
        roomLeft -= width;
        lines.push(this.#fixed(field.schema, name, at));
      } else if (field.schema.kind === 'optional') {
        lines.push(`if (${name} !== undefined) { ${this.encode(field.schema.inner, name, at)} }`);
      } else {
        lines.push(`{ ${this.encode(field.schema, name, at)} }`);
      }
    });
    return lines.join('\n');
  }

  #bitmap(optional: readonly Field[], names: ReadonlyMap<Field, string>): string[] {
    const bytes = Math.ceil(optional.length / 8);
    if (bytes === 0) return [];
    const lines = [room(bytes)];
    for (let byte = 0; byte < bytes; byte++) {
      const bits = optional
        .slice(byte * 8, byte * 8 + 8)
        .map((field, bit) => `(${names.get(field)} === undefined ? 0 : ${1 << bit})`);
      lines.push(`b[p++] = ${bits.join(' | ')};`);
    }
    return lines;
  }
}

/** Bytes of the run of fixed-width fields that starts at `first`. */
function runWidth(fields: readonly Field[], first: number): number {
  let bytes = 0;
  for (let n = first; n < fields.length; n++) {
    const width = FIXED_WIDTHS[fields[n]!.schema.kind];
    if (width === undefined) break;
    bytes += width;
  }
  return bytes;
}
