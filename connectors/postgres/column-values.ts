/** The server's text of a value, as the value of a record: by the column's type, and by the schema's kind where one is given. */
import type { Schema } from '../../src/types/schema.ts';

export type DecodeValue = (text: string) => unknown;

/** Of built-in types; others are text. */
const OID = {
  bool: 16,
  bytea: 17,
  int8: 20,
  int2: 21,
  int4: 23,
  oid: 26,
  json: 114,
  float4: 700,
  float8: 701,
  date: 1082,
  timestamp: 1114,
  timestamptz: 1184,
  numeric: 1700,
  jsonb: 3802,
} as const;

/** Of arrays: the type of their elements. */
const ELEMENT_OF: Readonly<Record<number, number>> = {
  199: OID.json,
  1000: OID.bool,
  1001: OID.bytea,
  1005: OID.int2,
  1007: OID.int4,
  1009: 25, // text
  1015: 1043, // varchar
  1016: OID.int8,
  1021: OID.float4,
  1022: OID.float8,
  1115: OID.timestamp,
  1182: OID.date,
  1185: OID.timestamptz,
  1231: OID.numeric,
  2951: 2950, // uuid
  3807: OID.jsonb,
};

/**
 * Integers of 64 bits are bigints unless the schema says otherwise, `numeric` is text, times are epoch milliseconds, dates are text.
 * What it returns for text that does not fit the schema is for the schema to refuse.
 */
export function decoderOf(typeOid: number, schema: Schema<unknown> | undefined): DecodeValue {
  const wanted = schema?.kind === 'optional' ? schema.inner : schema;
  const element = ELEMENT_OF[typeOid];
  if (element !== undefined) {
    const decode = decoderOf(element, wanted?.kind === 'array' ? wanted.element : undefined);
    return (text) => decodeArray(text, decode);
  }
  if (wanted !== undefined && NUMBERS.has(wanted.kind) && !TIMES.has(typeOid)) return Number;
  if (wanted?.kind === 'string' && typeOid !== OID.bool) return String;
  switch (typeOid) {
    case OID.bool:
      return (text) => text === 't';
    case OID.int2:
    case OID.int4:
    case OID.oid:
    case OID.float4:
    case OID.float8:
      return Number;
    case OID.int8:
      return BigInt;
    case OID.bytea:
      return (text) => new Uint8Array(Buffer.from(text.slice(2), 'hex')); // '\x' and digits
    case OID.json:
    case OID.jsonb:
      return (text) => JSON.parse(text) as unknown;
    case OID.timestamp:
    case OID.timestamptz:
      return timeMs;
    case OID.date:
      return wanted?.kind === 'timestamp' ? timeMs : String;
    default:
      return wanted?.kind === 'bigint' ? BigInt : String;
  }
}

const NUMBERS: ReadonlySet<string> = new Set([
  ...['int8', 'int16', 'int32', 'int64', 'float', 'double'],
]);
const TIMES: ReadonlySet<number> = new Set([OID.timestamp, OID.timestamptz, OID.date]);

/** ISO text in UTC; what is finer than milliseconds is cut off. Infinite times are infinite. */
function timeMs(text: string): number {
  if (text === 'infinity') return Number.POSITIVE_INFINITY;
  if (text === '-infinity') return Number.NEGATIVE_INFINITY;
  const match = /^(\d{4,6})-(\d\d)-(\d\d)(?: (\d\d):(\d\d):(\d\d)(\.\d+)?)?(?:\+00)?( BC)?$/.exec(
    text,
  );
  if (match === null) return Number.NaN;
  const [, year, month, day, hour = '0', minute = '0', second = '0', fraction = '0'] = match;
  const date = new Date(0);
  // Year 1 BC is year 0.
  date.setUTCFullYear(
    match[8] === undefined ? Number(year) : 1 - Number(year),
    Number(month) - 1,
    Number(day),
  );
  date.setUTCHours(
    Number(hour),
    Number(minute),
    Number(second),
    Math.floor(Number(fraction) * 1000),
  );
  return date.getTime();
}

/** `{1,NULL,"a \"b\"",{2}}`. */
function decodeArray(text: string, decode: DecodeValue): unknown {
  let at = text.indexOf('{'); // after the bounds, where they are unusual
  const read = (): unknown[] => {
    const values: unknown[] = [];
    at++;
    while (text[at] !== '}') {
      if (text[at] === ',') at++;
      else if (text[at] === '{') values.push(read());
      else values.push(element());
    }
    at++;
    return values;
  };
  const element = (): unknown => {
    if (text[at] !== '"') {
      const start = at;
      while (text[at] !== ',' && text[at] !== '}') at++;
      const bare = text.slice(start, at);
      return bare === 'NULL' ? null : decode(bare);
    }
    let value = '';
    for (at++; text[at] !== '"'; at++) {
      if (text[at] === '\\') at++;
      value += text[at];
    }
    at++;
    return decode(value);
  };
  return read();
}
