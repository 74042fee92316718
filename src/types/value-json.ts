/**
 * Any value that a schema can describe as JSON, exactly, and back: what JSON has no word for is an object with one property that begins with `$`.
 *
 *   {"$bigint": "5"}  {"$bytes": "<base64>"}  {"$map": [[key, value], ...]}  {"$number": "NaN"}  {"$undefined": true}
 *   {"$object": [[name, value], ...]}   an object with a property that begins with `$`
 */
import { invalid } from '../base/errors.ts';
import type { JsonValue } from '../base/json.ts';

export function valueToJson(value: unknown): JsonValue {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value;
    case 'number':
      return Number.isFinite(value) && !Object.is(value, -0)
        ? value
        : { $number: Object.is(value, -0) ? '-0' : String(value) };
    case 'bigint':
      return { $bigint: String(value) };
    case 'object':
      return objectToJson(value);
    default:
      return { $undefined: true };
  }
}

function objectToJson(value: object | null): JsonValue {
  if (value === null) return null;
  if (Array.isArray(value)) return value.map(valueToJson);
  if (value instanceof Uint8Array) return { $bytes: Buffer.from(value).toString('base64') };
  if (value instanceof Map)
    return { $map: [...value].map(([key, inner]) => [valueToJson(key), valueToJson(inner)]) };
  const entries = Object.entries(value).map(([name, inner]) => [name, valueToJson(inner)] as const);
  return entries.some(([name]) => name.startsWith('$'))
    ? { $object: entries.map(([name, inner]) => [name, inner]) }
    : Object.fromEntries(entries);
}

/** @throws `invalid` BAD_VALUE_JSON */
export function valueFromJson(json: unknown): unknown {
  if (typeof json !== 'object' || json === null) return json;
  if (Array.isArray(json)) return json.map(valueFromJson);
  const entries = Object.entries(json);
  const [first] = entries;
  if (entries.length === 1 && first![0].startsWith('$')) return tagged(first![0], first![1]);
  return Object.fromEntries(entries.map(([name, inner]) => [name, valueFromJson(inner)]));
}

function tagged(tag: string, json: unknown): unknown {
  switch (tag) {
    case '$bigint':
      if (typeof json === 'string' && /^-?\d{1,19}$/.test(json)) return BigInt(json);
      break;
    case '$number':
      if (typeof json === 'string') return Number(json);
      break;
    case '$bytes':
      if (typeof json === 'string') return new Uint8Array(Buffer.from(json, 'base64'));
      break;
    case '$undefined':
      return undefined;
    case '$map':
      return new Map(pairs(json));
    case '$object':
      return Object.fromEntries(pairs(json) as [string, unknown][]); // written by objectToJson
  }
  throw invalid('BAD_VALUE_JSON', `${tag} is not followed by what it stands for`);
}

function pairs(json: unknown): [unknown, unknown][] {
  if (!Array.isArray(json)) throw invalid('BAD_VALUE_JSON', 'expected a list of pairs');
  return json.map((pair: unknown) => {
    if (!Array.isArray(pair) || pair.length !== 2)
      throw invalid('BAD_VALUE_JSON', 'expected a list of pairs');
    return [valueFromJson(pair[0]), valueFromJson(pair[1])];
  });
}
