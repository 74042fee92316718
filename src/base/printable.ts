/** Values of any schema as JSON, for people and tools: bigints as text, bytes in base64, maps as lists of pairs. */
import type { JsonValue } from './json.ts';

export function printable(value: unknown): JsonValue {
  if (value === null || value === undefined) return null;
  switch (typeof value) {
    case 'number':
      return Number.isFinite(value) ? value : String(value);
    case 'string':
    case 'boolean':
      return value;
    case 'object':
      return printableObject(value);
    default:
      return String(value);
  }
}

function printableObject(value: object): JsonValue {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  if (value instanceof Date) return value.toISOString();
  if (value instanceof Map)
    return [...value].map(([key, inner]) => [printable(key), printable(inner)]);
  if (Array.isArray(value) || value instanceof Set) return [...value].map(printable);
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, printable(inner)]));
}
