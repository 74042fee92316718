/**
 * The text of decoding functions, one per schema; `row-codec.ts` compiles it and states the layout.
 *
 * In scope of the text: `r` the reader and, as locals, its `b` (buffer), `d` (data), `E` (end) and `p` (position); `R` the
 * runtime; `C` the constants. Invariants:
 * D1 no byte at or after `E` is read; a run of fixed-width fields is checked at once;
 * D2 a count of elements is at most the bytes that are left, so corrupt bytes cost no more time or memory than they are long;
 * D3 every struct of one schema is made by a literal with the same properties in schema order: one hidden class;
 * D4 every name from a schema enters the text through JSON.stringify.
 */
import { rowBytesMin } from './schema-limits.ts';
import type { Field, Schema } from './schema.ts';

const FIXED: Readonly<Partial<Record<Schema<unknown>['kind'], readonly [number, string]>>> = {
  boolean: [1, 'b[p]'],
  int8: [1, 'b[p] << 24 >> 24'],
  int16: [2, 'd.getInt16(p, true)'],
  int32: [4, 'd.getInt32(p, true)'],
  float: [4, 'd.getFloat32(p, true)'],
  int64: [8, 'd.getFloat64(p, true)'],
  timestamp: [8, 'd.getFloat64(p, true)'],
  double: [8, 'd.getFloat64(p, true)'],
  bigint: [8, 'd.getBigInt64(p, true)'],
};

const left = (bytes: string | number): string =>
  `if (p + ${bytes} > E) R.corrupt('a value is cut off', p);`;

type Struct = Schema<unknown> & { kind: 'struct' };

export class DecodeCode {
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

  /** Statements that declare `x` as the decoded value. */
  decode(schema: Schema<unknown>, x: string): string {
    const fixed = FIXED[schema.kind];
    if (fixed !== undefined) return `${left(fixed[0])} ${this.#fixed(schema, x)}`;
    switch (schema.kind) {
      case 'string':
      case 'decimal':
        return this.#text(x);
      case 'bytes':
        return this.#bytes(x);
      case 'key':
        return `r.position = p; const ${x} = R.readKey(r); p = r.position;`;
      case 'generic': {
        const bytes = this.#fresh('g');
        return `${this.#bytes(bytes)} r.position = p; const ${x} = R.readGeneric(${bytes}, r);`;
      }
      case 'enum': {
        const index = this.#fresh('n');
        return `${this.#varint(index)} if (${index} >= ${schema.symbols.length}) R.corrupt('an enum index is out of range', p); const ${x} = ${this.#constant(schema.symbols)}[${index}];`;
      }
      default:
        return this.#composite(schema, x);
    }
  }

  /** The bytes have been checked to be there. */
  #fixed(schema: Schema<unknown>, x: string): string {
    const [width, read] = FIXED[schema.kind]!; // callers ask for fixed-width kinds only
    switch (schema.kind) {
      case 'boolean':
        return `if (b[p] > 1) R.corrupt('a boolean is neither 0 nor 1', p); const ${x} = b[p++] === 1;`;
      case 'int64':
      case 'timestamp':
        return `const ${x} = ${read}; if (!Number.isSafeInteger(${x})) R.corrupt('an int64 is no safe integer', p); p += 8;`;
      default:
        return `const ${x} = ${read}; p += ${width};`;
    }
  }

  #varint(n: string): string {
    return `if (p >= E) R.corrupt('a length or index is cut off', p); let ${n} = b[p++]; if (${n} > 127) { r.position = p - 1; ${n} = R.readVarint(r); p = r.position; }`;
  }

  /** Short ASCII here, everything else in the runtime. */
  #text(x: string): string {
    const h = this.#fresh('h');
    return `if (p >= E) R.corrupt('a string is cut off', p); const ${h} = b[p]; let ${x};
if ((${h} & 129) === 0) { p++; if (p + (${h} >> 1) > E) R.corrupt('a string runs past the end', p); ${x} = R.ascii(b, p, ${h} >> 1); p += ${h} >> 1; }
else { r.position = p; ${x} = R.readText(r); p = r.position; }`;
  }

  #bytes(x: string): string {
    const n = this.#fresh('n');
    return `${this.#varint(n)} if (${n} > E - p) R.corrupt('bytes run past the end', p); const ${x} = new Uint8Array(${n}); ${x}.set(b.subarray(p, p + ${n})); p += ${n};`;
  }

  #composite(schema: Schema<unknown>, x: string): string {
    switch (schema.kind) {
      case 'struct':
        return this.#struct(schema, x, undefined);
      case 'array': {
        const [i, e] = [this.#fresh('i'), this.#fresh('e')];
        return this.#repeat(
          rowBytesMin(schema.element),
          i,
          `const ${x} = [];`,
          `${this.decode(schema.element, e)} ${x}.push(${e});`,
        );
      }
      case 'map': {
        const [i, k, v] = [this.#fresh('i'), this.#fresh('k'), this.#fresh('v')];
        const min = rowBytesMin(schema.key) + rowBytesMin(schema.value);
        return this.#repeat(
          min,
          i,
          `const ${x} = new Map();`,
          `${this.decode(schema.key, k)} ${this.decode(schema.value, v)} ${x}.set(${k}, ${v});`,
        );
      }
      case 'optional': {
        const inner = this.#fresh('o');
        return `${left(1)} if (b[p] > 1) R.corrupt('an optional is neither 0 nor 1', p); let ${x}; if (b[p++] === 1) { ${this.decode(schema.inner, inner)} ${x} = ${inner}; }`;
      }
      case 'tuple': {
        const names = schema.elements.map(() => this.#fresh('e'));
        return `${schema.elements.map((element, n) => this.decode(element, names[n]!)).join('\n')} const ${x} = [${names.join(', ')}];`;
      }
      case 'union':
        return this.#union(schema, x);
      default:
        return `const ${x} = undefined;`;
    }
  }

  #repeat(bytesMin: number, i: string, before: string, body: string): string {
    const n = this.#fresh('n');
    const skip = bytesMin === 0 ? `${left(1)} p++;` : '';
    return `${this.#varint(n)} if (${n} * ${Math.max(1, bytesMin)} > E - p) R.corrupt('more elements than bytes', p); ${before}
for (let ${i} = 0; ${i} < ${n}; ${i}++) { ${body} ${skip} }`;
  }

  #union(schema: Schema<unknown> & { kind: 'union' }, x: string): string {
    const n = this.#fresh('n');
    const cases = Object.entries(schema.variants).map(([name, variant], index) => {
      const inner = this.#fresh('u');
      // Variants are structs: `t.union` and `schemaFromJson` refuse others.
      return `case ${index}: { ${this.#struct(variant as Struct, inner, [schema.tag, name])} ${x} = ${inner}; break; }`;
    });
    return `${this.#varint(n)} let ${x}; switch (${n}) { ${cases.join('\n')} default: R.corrupt('a union variant is out of range', p); }`;
  }

  #struct(schema: Struct, x: string, tag: readonly [string, string] | undefined): string {
    const { lines, names } = this.#fields(schema.fields);
    const members: (readonly [string, string])[] = schema.fields.map((field) => [
      field.name,
      names.get(field)!, // every field was named
    ]);
    if (tag !== undefined) members.unshift([tag[0], JSON.stringify(tag[1])]);
    return `${lines.join('\n')}\n${literal(members, x)}`;
  }

  #fields(fields: readonly Field[]): { lines: string[]; names: Map<Field, string> } {
    const optional = fields.filter((field) => field.schema.kind === 'optional');
    const bitmap = Math.ceil(optional.length / 8);
    const at = this.#fresh('p');
    const lines = bitmap > 0 ? [`${left(bitmap)} const ${at} = p; p += ${bitmap};`] : [];
    const names = new Map<Field, string>();
    let checked = 0;
    fields.forEach((field, n) => {
      const name = this.#fresh('f');
      names.set(field, name);
      const fixed = FIXED[field.schema.kind];
      if (fixed !== undefined) {
        if (checked === 0) {
          checked = runWidth(fields, n);
          lines.push(left(checked));
        }
        checked -= fixed[0];
        lines.push(this.#fixed(field.schema, name));
      } else if (field.schema.kind === 'optional') {
        const [bit, inner] = [optional.indexOf(field), this.#fresh('o')];
        lines.push(
          `let ${name}; if ((b[${at} + ${bit >> 3}] & ${1 << (bit & 7)}) !== 0) { ${this.decode(field.schema.inner, inner)} ${name} = ${inner}; }`,
        );
      } else {
        lines.push(this.decode(field.schema, name));
      }
    });
    return { lines, names };
  }
}

/** In a literal `__proto__` would set the prototype: an object with such a field is made property by property. */
export function literal(members: readonly (readonly [string, string])[], x: string): string {
  if (members.some(([name]) => name === '__proto__')) {
    const sets = members.map(
      ([name, value]) => `R.setOwn(${x}, ${JSON.stringify(name)}, ${value});`,
    );
    return `const ${x} = {}; ${sets.join(' ')}`;
  }
  return `const ${x} = {${members.map(([name, value]) => `${JSON.stringify(name)}: ${value}`).join(', ')}};`;
}

/** Bytes of the run of fixed-width fields that starts at `first`. */
function runWidth(fields: readonly Field[], first: number): number {
  let bytes = 0;
  for (let n = first; n < fields.length; n++) {
    const fixed = FIXED[fields[n]!.schema.kind];
    if (fixed === undefined) break;
    bytes += fixed[0];
  }
  return bytes;
}
