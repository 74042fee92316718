/**
 * Row codecs: binary values, written and read by code generated for one schema.
 *
 * Layout, version 1 (docs/reference/row-format.md), little-endian, no padding:
 *   boolean, int8 1 byte | int16 2 | int32 4 | int64, timestamp, double 8 (IEEE double) | bigint 8 | float 4
 *   string, decimal: varint 2*length (Latin-1 bytes) or 2*bytes+1 (UTF-8)        bytes: varint length, bytes
 *   struct: presence bitmap of its optional fields (ceil(n/8) bytes), then the fields in order, absent ones left out
 *   array: varint count, elements | map: varint count, key, value, ... | tuple: elements | optional: 1 byte, value
 *   enum: varint index | union: varint variant index, struct | key, generic: varint length, MessagePack
 *
 * int64 and timestamp are doubles because a double write and read costs a third of a 64-bit varint in JavaScript and a
 * safe integer fits.
 *
 * Cost: guarded by `bench/types.ts`. Strings up to SHORT_STRING are read byte by byte, which beats a call into
 * the runtime; decoded strings never share memory with the buffer they came from.
 */
import { packr } from './generic-values.ts';
import type { ByteReader, ByteWriter } from '../base/bytes.ts';
import { invalid, MillraceError } from '../base/errors.ts';
import type { Codec } from './codec.ts';
import type { Schema } from './schema.ts';

const codecs = new WeakMap<object, Codec<unknown>>();

/** The codec of a schema; generated once per schema object. */
export function rowCodec<T>(schema: Schema<T>): Codec<T> {
  let codec = codecs.get(schema);
  if (codec === undefined) {
    codec = generate(schema);
    codecs.set(schema, codec);
  }
  return codec as Codec<T>; // the map holds under each schema the codec generated from it
}

/** What generated code may call, under short names. */
const RUNTIME = {
  mismatch(path: string, value: unknown): never {
    const shown =
      value === null ? 'null' : typeof value === 'number' ? String(value) : typeof value;
    throw invalid(
      'VALUE_DOES_NOT_MATCH_SCHEMA',
      `${path === '' ? 'the value' : path} does not match its schema: got ${shown}`,
      { path },
    );
  },
  corrupt(what: string, reader: ByteReader): never {
    throw new MillraceError('data', 'CORRUPT_VALUE', `${what} at byte ${reader.position}`, {
      details: { position: reader.position },
    });
  },
  writeString,
  readString,
  writeGeneric(value: unknown, writer: ByteWriter): void {
    writer.bytes(packr.pack(value));
  },
  readGeneric(reader: ByteReader): unknown {
    const bytes = reader.bytes();
    try {
      return packr.unpack(bytes);
    } catch (cause) {
      throw new MillraceError(
        'data',
        'CORRUPT_VALUE',
        `schemaless value at byte ${reader.position} cannot be read`,
        { cause },
      );
    }
  },
  setOwn(target: object, name: string, value: unknown): void {
    Object.defineProperty(target, name, {
      value,
      enumerable: true,
      writable: true,
      configurable: true,
    });
  },
};

const SHORT_STRING = 24;

/** @hot bench/types.ts */
export function writeString(value: string, writer: ByteWriter): void {
  const length = value.length;
  writer.ensure(length * 3 + 10);
  const { buffer } = writer;
  let at = writer.position;
  if (length <= SHORT_STRING) {
    buffer[at++] = length << 1;
    for (let i = 0; i < length; i++) {
      const unit = value.charCodeAt(i);
      if (unit > 0x7f) return writeUtf8(value, writer);
      buffer[at + i] = unit;
    }
    writer.position = at + length;
    return;
  }
  const bytes = buffer.write(value, at + 5, length * 3, 'utf8');
  if (bytes !== length) return writeUtf8(value, writer);
  // Pure ASCII: Latin-1 and UTF-8 are the same bytes. Close the gap between header and text by writing the header right before it.
  const header = length * 2;
  buffer[at++] = (header & 0x7f) | 0x80;
  buffer[at++] = ((header >>> 7) & 0x7f) | 0x80;
  buffer[at++] = ((header >>> 14) & 0x7f) | 0x80;
  buffer[at++] = ((header >>> 21) & 0x7f) | 0x80;
  buffer[at++] = header >>> 28;
  writer.position = at + length;
}

function writeUtf8(value: string, writer: ByteWriter): void {
  const bytes = Buffer.byteLength(value);
  writer.varint(bytes * 2 + 1);
  writer.ensure(bytes);
  writer.position += writer.buffer.write(value, writer.position, bytes, 'utf8');
}

/** @hot bench/types.ts */
export function readString(reader: ByteReader): string {
  const header = reader.varint();
  const length = Math.floor(header / 2);
  if (length > reader.end - reader.position) RUNTIME.corrupt('a string runs past the end', reader);
  const start = reader.position;
  const end = start + length;
  reader.position = end;
  const { buffer } = reader;
  if (header % 2 === 1) return buffer.toString('utf8', start, end);
  if (length > SHORT_STRING) return buffer.toString('latin1', start, end);
  let text = '';
  for (let i = start; i < end; i++) text += String.fromCharCode(buffer[i]!);
  return text;
}

/** Collects the code of one generated pair of functions. */
class Generator {
  readonly constants: unknown[] = [];
  #names = 0;

  fresh(prefix: string): string {
    return `${prefix}${this.#names++}`;
  }

  constant(value: unknown): string {
    this.constants.push(value);
    return `C[${this.constants.length - 1}]`;
  }

  encode(schema: Schema<unknown>, value: string, path: string): string {
    const bad = `R.mismatch(${JSON.stringify(path)}, ${value});`;
    switch (schema.kind) {
      case 'boolean':
        return `if (typeof ${value} !== 'boolean') ${bad} w.ensure(1); w.buffer[w.position++] = ${value} ? 1 : 0;`;
      case 'int8':
      case 'int16':
      case 'int32':
        return this.#encodeInt(schema.kind, value, bad);
      case 'int64':
      case 'timestamp':
        return `if (!Number.isSafeInteger(${value})) ${bad} w.ensure(8); w.position = w.buffer.writeDoubleLE(${value}, w.position);`;
      case 'double':
        return `if (typeof ${value} !== 'number') ${bad} w.ensure(8); w.position = w.buffer.writeDoubleLE(${value}, w.position);`;
      case 'float':
        return `if (typeof ${value} !== 'number') ${bad} w.ensure(4); w.position = w.buffer.writeFloatLE(${value}, w.position);`;
      case 'bigint':
        return `if (typeof ${value} !== 'bigint' || BigInt.asIntN(64, ${value}) !== ${value}) ${bad} w.i64(${value});`;
      case 'string':
        return `if (typeof ${value} !== 'string') ${bad} R.writeString(${value}, w);`;
      case 'decimal':
        return `if (typeof ${value} !== 'string' || !${this.constant(/^-?\d{1,38}(\.\d{1,38})?$/)}.test(${value})) ${bad} R.writeString(${value}, w);`;
      case 'bytes':
        return `if (!(${value} instanceof Uint8Array)) ${bad} w.bytes(${value});`;
      case 'key':
      case 'generic':
        return `R.writeGeneric(${value}, w);`;
      default:
        return this.#encodeComposite(schema, value, path);
    }
  }

  #encodeInt(kind: 'int8' | 'int16' | 'int32', value: string, bad: string): string {
    const bits = Number(kind.slice(3));
    const check =
      bits === 32
        ? `(${value} | 0) !== ${value}`
        : `(${value} << ${32 - bits} >> ${32 - bits}) !== ${value}`;
    const write =
      bits === 8
        ? `w.buffer[w.position++] = ${value} & 255`
        : `w.position = w.buffer.writeInt${bits}LE(${value}, w.position)`;
    return `if (${check}) ${bad} w.ensure(${bits / 8}); ${write};`;
  }

  #encodeComposite(schema: Schema<unknown>, value: string, path: string): string {
    const bad = `R.mismatch(${JSON.stringify(path)}, ${value});`;
    switch (schema.kind) {
      case 'struct':
        return this.#encodeStruct(schema, value, path);
      case 'array': {
        const i = this.fresh('i');
        const element = this.fresh('e');
        return `if (!Array.isArray(${value})) ${bad} w.varint(${value}.length);
for (let ${i} = 0; ${i} < ${value}.length; ${i}++) { const ${element} = ${value}[${i}]; ${this.encode(schema.element, element, `${path}[]`)} }`;
      }
      case 'map': {
        const k = this.fresh('k');
        const v = this.fresh('v');
        return `if (!(${value} instanceof Map)) ${bad} w.varint(${value}.size);
for (const [${k}, ${v}] of ${value}) { ${this.encode(schema.key, k, `${path}{key}`)} ${this.encode(schema.value, v, `${path}{}`)} }`;
      }
      case 'optional':
        return `if (${value} === undefined) { w.u8(0); } else { w.u8(1); ${this.encode(schema.inner, value, path)} }`;
      case 'enum': {
        const index = this.fresh('x');
        return `const ${index} = ${this.constant(new Map(schema.symbols.map((s, n) => [s, n])))}.get(${value}); if (${index} === undefined) ${bad} w.varint(${index});`;
      }
      case 'tuple':
        return `if (!Array.isArray(${value}) || ${value}.length !== ${schema.elements.length}) ${bad}
${schema.elements.map((element, n) => this.#scoped(`${value}[${n}]`, (name) => this.encode(element, name, `${path}[${n}]`))).join('\n')}`;
      case 'union': {
        const cases = Object.entries(schema.variants).map(
          ([name, variant], n) =>
            `case ${JSON.stringify(name)}: { w.varint(${n}); ${this.encode(variant, value, `${path}<${name}>`)} break; }`,
        );
        return `if (typeof ${value} !== 'object' || ${value} === null) ${bad} switch (${member(value, schema.tag)}) { ${cases.join('\n')} default: ${bad} }`;
      }
      default:
        throw invalid('BAD_SCHEMA', `no codec for schema kind ${schema.kind}`);
    }
  }

  #scoped(expression: string, body: (name: string) => string): string {
    const name = this.fresh('f');
    return `{ const ${name} = ${expression}; ${body(name)} }`;
  }

  #encodeStruct(schema: Schema<unknown> & { kind: 'struct' }, value: string, path: string): string {
    const optional = schema.fields.filter((field) => field.schema.kind === 'optional');
    const at = this.fresh('p');
    const lines = [
      `if (typeof ${value} !== 'object' || ${value} === null) R.mismatch(${JSON.stringify(path)}, ${value});`,
    ];
    const bitmap = Math.ceil(optional.length / 8);
    if (bitmap > 0)
      lines.push(
        `w.ensure(${bitmap}); const ${at} = w.position; w.buffer.fill(0, ${at}, ${at} + ${bitmap}); w.position += ${bitmap};`,
      );
    for (const field of schema.fields) {
      const fieldPath = path === '' ? field.name : `${path}.${field.name}`;
      const bit = optional.indexOf(field);
      lines.push(
        this.#scoped(member(value, field.name), (name) =>
          field.schema.kind === 'optional'
            ? `if (${name} !== undefined) { w.buffer[${at} + ${bit >> 3}] |= ${1 << (bit & 7)}; ${this.encode(field.schema.inner, name, fieldPath)} }`
            : this.encode(field.schema, name, fieldPath),
        ),
      );
    }
    return lines.join('\n');
  }

  /** Statements that declare `target` as the decoded value. */
  decode(schema: Schema<unknown>, target: string): string {
    switch (schema.kind) {
      case 'boolean':
        return `r.require(1); const ${target} = r.buffer[r.position++] === 1;`;
      case 'int8':
        return `r.require(1); const ${target} = r.buffer[r.position++] << 24 >> 24;`;
      case 'int16':
        return `r.require(2); const ${target} = r.buffer.readInt16LE(r.position); r.position += 2;`;
      case 'int32':
        return `r.require(4); const ${target} = r.buffer.readInt32LE(r.position); r.position += 4;`;
      case 'int64':
      case 'timestamp':
      case 'double':
        return `r.require(8); const ${target} = r.buffer.readDoubleLE(r.position); r.position += 8;`;
      case 'float':
        return `r.require(4); const ${target} = r.buffer.readFloatLE(r.position); r.position += 4;`;
      case 'bigint':
        return `const ${target} = r.i64();`;
      case 'string':
      case 'decimal':
        return `const ${target} = R.readString(r);`;
      case 'bytes':
        return `const ${target} = r.bytes();`;
      case 'key':
      case 'generic':
        return `const ${target} = R.readGeneric(r);`;
      default:
        return this.#decodeComposite(schema, target);
    }
  }

  #decodeComposite(schema: Schema<unknown>, target: string): string {
    switch (schema.kind) {
      case 'struct':
        return this.decodeStruct(schema, target, undefined);
      case 'array': {
        const [i, n, e] = [this.fresh('i'), this.fresh('n'), this.fresh('e')];
        return `const ${n} = r.varint(); if (${n} > r.remaining) R.corrupt('an array longer than its bytes', r); const ${target} = [];
for (let ${i} = 0; ${i} < ${n}; ${i}++) { ${this.decode(schema.element, e)} ${target}.push(${e}); }`;
      }
      case 'map': {
        const [i, n, k, v] = [this.fresh('i'), this.fresh('n'), this.fresh('k'), this.fresh('v')];
        return `const ${n} = r.varint(); if (${n} > r.remaining) R.corrupt('a map longer than its bytes', r); const ${target} = new Map();
for (let ${i} = 0; ${i} < ${n}; ${i}++) { ${this.decode(schema.key, k)} ${this.decode(schema.value, v)} ${target}.set(${k}, ${v}); }`;
      }
      case 'optional': {
        const inner = this.fresh('o');
        return `let ${target}; if (r.u8() === 1) { ${this.decode(schema.inner, inner)} ${target} = ${inner}; }`;
      }
      case 'enum':
        return `const ${target} = ${this.constant(schema.symbols)}[r.varint()]; if (${target} === undefined) R.corrupt('an enum index out of range', r);`;
      case 'tuple': {
        const names = schema.elements.map(() => this.fresh('e'));
        return `${schema.elements.map((element, n) => this.decode(element, names[n]!)).join('\n')} const ${target} = [${names.join(', ')}];`;
      }
      case 'union': {
        const cases = Object.entries(schema.variants).map(([name, variant], n) => {
          const inner = this.fresh('u');
          if (variant.kind !== 'struct')
            throw invalid('BAD_SCHEMA', `union variant ${name} is no struct`);
          return `case ${n}: { ${this.decodeStruct(variant, inner, [schema.tag, name])} ${target} = ${inner}; break; }`;
        });
        return `let ${target}; switch (r.varint()) { ${cases.join('\n')} default: R.corrupt('a union variant out of range', r); }`;
      }
      default:
        throw invalid('BAD_SCHEMA', `no codec for schema kind ${schema.kind}`);
    }
  }

  /** All instances get one hidden class: the fields in schema order, absent ones left out only if all optional are absent is not worth a second class. */
  decodeStruct(
    schema: Schema<unknown> & { kind: 'struct' },
    target: string,
    tag: readonly [string, string] | undefined,
  ): string {
    const optional = schema.fields.filter((field) => field.schema.kind === 'optional');
    const bitmap = Math.ceil(optional.length / 8);
    const at = this.fresh('p');
    const lines: string[] = [];
    if (bitmap > 0)
      lines.push(`r.require(${bitmap}); const ${at} = r.position; r.position += ${bitmap};`);
    const members: string[] =
      tag === undefined ? [] : [`${JSON.stringify(tag[0])}: ${JSON.stringify(tag[1])}`];
    const odd: string[] = [];
    for (const field of schema.fields) {
      const name = this.fresh('f');
      const bit = optional.indexOf(field);
      if (field.schema.kind === 'optional') {
        const inner = this.fresh('o');
        lines.push(
          `let ${name}; if ((r.buffer[${at} + ${bit >> 3}] & ${1 << (bit & 7)}) !== 0) { ${this.decode(field.schema.inner, inner)} ${name} = ${inner}; }`,
        );
      } else {
        lines.push(this.decode(field.schema, name));
      }
      // In a literal `__proto__` would set the prototype: as data it takes the slow way.
      if (field.name === '__proto__') odd.push(`R.setOwn(${target}, '__proto__', ${name});`);
      else members.push(`${JSON.stringify(field.name)}: ${name}`);
    }
    return `${lines.join('\n')}\nconst ${target} = {${members.join(', ')}}; ${odd.join(' ')}`;
  }
}

/** Own-property access only for the one name that an object literal inherits; others are plain member access. */
const member = (object: string, name: string): string =>
  name === '__proto__'
    ? `(Object.hasOwn(${object}, '__proto__') ? Object.getOwnPropertyDescriptor(${object}, '__proto__').value : undefined)`
    : `${object}[${JSON.stringify(name)}]`;

function generate(schema: Schema<unknown>): Codec<unknown> {
  const generator = new Generator();
  const encode = generator.encode(schema, 'v', '');
  const decode = generator.decode(schema, 'x');
  // Generated code holds only text made from the schema, with every name quoted by JSON.stringify.
  const make = new Function(
    'R',
    'C',
    `return { encode(v, w) { ${encode} }, decode(r) { ${decode} return x; } };`,
  );
  return make(RUNTIME, generator.constants) as Codec<unknown>; // the generated object has just these two methods
}
