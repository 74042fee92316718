/**
 * Comma-separated values by RFC 4180: fields in double quotes may hold separators, line breaks, and quotes written twice.
 *
 * With a Millrace schema (a struct of primitives) fields are converted and named by the header or, without one, by the order of the
 * struct; an empty field is absent where the schema says optional. With a Standard Schema it is given an object of texts.
 */
import { invalid } from '../../src/base/errors.ts';
import type { Decoded, LineFormat } from '../../src/connector/format.ts';
import { checkValue } from '../../src/types/check-value.ts';
import type { Schema } from '../../src/types/schema.ts';
import {
  isStandardSchema,
  type StandardSchema,
  validate,
} from '../../src/types/standard-schema.ts';

export interface CsvOptions<T> {
  /** True (default): the first line of each file names the columns. False: none. A list: these are the columns, and no line names them. */
  readonly header?: boolean | readonly string[];
  /** Absent: records are objects of texts by column, or lists of texts when nothing names columns. */
  readonly schema?: Schema<T> | StandardSchema<T>;
  /** One character. Default ','. */
  readonly separator?: string;
}

const QUOTE = '"';

/** @public */
export function csv<T = Readonly<Record<string, string>>>(
  options: CsvOptions<T> = {},
): LineFormat<T> {
  const separator = options.separator ?? ',';
  if (separator.length !== 1 || separator === QUOTE || /\s/.test(separator.replace('\t', '')))
    throw invalid(
      'BAD_CSV_SEPARATOR',
      `${JSON.stringify(separator)} cannot separate fields; give one character`,
    );
  const { header = true, schema } = options;
  const millrace = schema === undefined || isStandardSchema(schema) ? undefined : schema;
  const own = fieldNames(millrace);
  const named = typeof header === 'boolean' ? own : header;
  const base = formatFor<T>({ columns: named, separator, schema });
  if (header !== true) return base;
  return {
    ...base,
    readHeader: (line) => {
      const columns = parseCsv(line, separator);
      if (!columns.ok)
        throw invalid('BAD_CSV_HEADER', `the header cannot be read: ${columns.reason}`);
      checkColumns(columns.value, millrace);
      return formatFor<T>({ columns: columns.value, separator, schema });
    },
    encodeHeader: () => named?.map((name) => quoted(name, separator)).join(separator),
  };
}

interface CsvFormat<T> {
  readonly columns: readonly string[] | undefined;
  readonly separator: string;
  readonly schema: Schema<T> | StandardSchema<T> | undefined;
}

function formatFor<T>({ columns, separator, schema }: CsvFormat<T>): LineFormat<T> {
  const check = checkerOf(schema);
  return {
    ...(schema === undefined || isStandardSchema(schema) ? {} : { schema }),
    flipsContinuation: hasOddQuotes,
    decode(text) {
      const fields = parseCsv(text, separator);
      if (!fields.ok) return fields;
      if (columns === undefined) return check(fields.value);
      if (fields.value.length !== columns.length) {
        const reason = `${fields.value.length} fields where ${columns.length} are expected`;
        return { ok: false, reason };
      }
      return check(Object.fromEntries(columns.map((name, i) => [name, fields.value[i]!])));
    },
    /** @hot bench/nexmark (q10) */
    encode(value) {
      const record = value as Readonly<Record<string, unknown>>; // rows are objects or lists, of any shape
      let line = '';
      if (Array.isArray(value)) {
        for (let i = 0; i < value.length; i++)
          line += (i === 0 ? '' : separator) + fieldText(value[i], separator);
      } else {
        const names = columns ?? Object.keys(record);
        for (let i = 0; i < names.length; i++)
          line += (i === 0 ? '' : separator) + fieldText(record[names[i]!], separator);
      }
      // An empty line is no record.
      return line === '' ? QUOTE + QUOTE : line;
    },
  };
}

/** What is no text holds neither quotes nor line breaks. */
function fieldText(value: unknown, separator: string): string {
  if (typeof value === 'string') return quoted(value, separator);
  const text = textOf(value);
  return text.includes(separator) ? quoted(text, separator) : text;
}

/** @returns the fields of one record, quotes taken off */
export function parseCsv(text: string, separator: string): Decoded<readonly string[]> {
  const fields: string[] = [];
  let at = 0;
  for (;;) {
    if (text[at] === QUOTE) {
      const field = parseQuoted(text, at);
      if (field === undefined) return { ok: false, reason: 'a quoted field does not end' };
      fields.push(field.value);
      at = field.next;
      if (at < text.length && text[at] !== separator)
        return { ok: false, reason: `field ${fields.length} goes on after its closing quote` };
    } else {
      const end = text.indexOf(separator, at);
      const field = text.slice(at, end === -1 ? undefined : end);
      if (field.includes(QUOTE))
        return {
          ok: false,
          reason: `field ${fields.length + 1} has a quote inside, but is not quoted`,
        };
      fields.push(field);
      at += field.length;
    }
    if (at >= text.length) return { ok: true, value: fields };
    at++;
  }
}

function parseQuoted(text: string, open: number): { value: string; next: number } | undefined {
  let value = '';
  let from = open + 1;
  for (;;) {
    const quote = text.indexOf(QUOTE, from);
    if (quote === -1) return undefined;
    value += text.slice(from, quote);
    if (text[quote + 1] !== QUOTE) return { value, next: quote + 1 };
    value += QUOTE;
    from = quote + 2;
  }
}

function hasOddQuotes(line: string): boolean {
  let odd = false;
  for (let at = line.indexOf(QUOTE); at !== -1; at = line.indexOf(QUOTE, at + 1)) odd = !odd;
  return odd;
}

function quoted(text: string, separator: string): string {
  const plain =
    !text.includes(separator) &&
    !text.includes(QUOTE) &&
    !text.includes('\n') &&
    !text.includes('\r');
  return plain ? text : `${QUOTE}${text.replaceAll(QUOTE, '""')}${QUOTE}`;
}

function textOf(value: unknown): string {
  if (value === undefined || value === null) return '';
  if (typeof value === 'object')
    throw invalid(
      'VALUE_NOT_CSV',
      'a CSV field is a primitive; map nested values to columns first',
    );
  return String(value as string | number | boolean | bigint); // no object, as seen above
}

function fieldNames(schema: Schema<unknown> | undefined): readonly string[] | undefined {
  if (schema === undefined) return undefined;
  if (schema.kind !== 'struct')
    throw invalid('BAD_CSV_SCHEMA', `CSV rows are structs, not ${schema.kind}`);
  return schema.fields.map(({ name }) => name);
}

function checkColumns(columns: readonly string[], schema: Schema<unknown> | undefined): void {
  const twice = columns.find((name, i) => columns.indexOf(name) !== i);
  if (twice !== undefined)
    throw invalid('BAD_CSV_HEADER', `column "${twice}" stands twice in the header`);
  if (schema?.kind !== 'struct') return;
  const missing = schema.fields.filter(
    (field) =>
      !columns.includes(field.name) &&
      field.schema.kind !== 'optional' &&
      !Object.hasOwn(field, 'default'),
  );
  if (missing.length > 0) {
    const names = missing.map(({ name }) => name).join(', ');
    throw invalid(
      'BAD_CSV_HEADER',
      `the header has no column ${names}; it has ${columns.join(', ')}`,
    );
  }
}

function checkerOf<T>(
  schema: Schema<T> | StandardSchema<T> | undefined,
): (value: unknown) => Decoded<T> {
  if (schema === undefined) return (value) => ({ ok: true, value: value as T }); // the user asserts the type
  if (isStandardSchema(schema)) return (value) => validate(schema as StandardSchema<T>, value);
  return (value) => checkValue(schema, typed(schema, value));
}

/** Texts turned into what the schema's fields are; what cannot be turned stays text, and the check names it. */
function typed(schema: Schema<unknown>, value: unknown): unknown {
  if (schema.kind !== 'struct' || typeof value !== 'object' || value === null) return value;
  const row = value as Readonly<Record<string, string | undefined>>; // made by decode
  return Object.fromEntries(
    schema.fields.flatMap((field) => {
      const text = Object.hasOwn(row, field.name) ? row[field.name] : undefined;
      return text === undefined ? [] : [[field.name, convertText(field.schema, text)]];
    }),
  );
}

const NUMBERS: ReadonlySet<string> = new Set([
  'int8',
  'int16',
  'int32',
  'int64',
  'timestamp',
  'float',
  'double',
]);

function convertText(schema: Schema<unknown>, text: string): unknown {
  if (schema.kind === 'optional') return text === '' ? undefined : convertText(schema.inner, text);
  if (NUMBERS.has(schema.kind))
    return text.trim() === '' || !Number.isFinite(Number(text)) ? text : Number(text);
  if (schema.kind === 'boolean') return text === 'true' ? true : text === 'false' ? false : text;
  if (schema.kind === 'bigint') return /^-?\d+$/.test(text) ? BigInt(text) : text;
  return text;
}
