/** Reading one option's value: from data as programs write it, and from text as configuration files do. */
import { durationMs } from '../base/duration.ts';
import type { JsonValue } from '../base/json.ts';
import { memorySizeBytes } from '../base/memory-size.ts';

export interface OptionSpec {
  /** Durations are kept in milliseconds, memory sizes in bytes. */
  readonly type: 'duration' | 'memory' | 'integer' | 'boolean' | 'string' | 'enum' | 'number';
  /** Null: not set. */
  readonly default: JsonValue;
  readonly min?: number;
  readonly max?: number;
  readonly values?: readonly string[];
  /** Values of Flink's that are understood and not taken, with the reason. */
  readonly refused?: Readonly<Record<string, string>>;
  readonly about: string;
}

export type ParsedValue = { readonly value: JsonValue } | { readonly fault: string };

const EXPECTED = {
  duration: "milliseconds or text such as '10 s'",
  memory: "bytes or text such as '20 kb'",
  integer: 'an integer',
  number: 'a number',
} as const;

/** Null stands for the default. */
export function parseValue(spec: OptionSpec, value: JsonValue): ParsedValue {
  if (value === null) return { value: spec.default };
  switch (spec.type) {
    case 'boolean':
      return parseBoolean(value);
    case 'string':
      return typeof value === 'string' && value !== ''
        ? { value }
        : { fault: `expected text, got ${shown(value)}` };
    case 'enum':
      return parseEnum(spec, value);
    case 'duration':
      return inRange(spec, value, attempt(durationMs, value));
    case 'memory':
      return inRange(spec, value, attempt(memorySizeBytes, value));
    case 'integer':
      return inRange(spec, value, numberOf(value, Number.isSafeInteger));
    case 'number':
      return inRange(spec, value, numberOf(value, Number.isFinite));
  }
}

const GOT_LENGTH_MAX = 80;

function shown(value: JsonValue): string {
  const text = JSON.stringify(value);
  return text.length <= GOT_LENGTH_MAX ? text : `${text.slice(0, GOT_LENGTH_MAX)}...`;
}

function parseBoolean(value: JsonValue): ParsedValue {
  if (value === true || value === 'true') return { value: true };
  if (value === false || value === 'false') return { value: false };
  return { fault: `expected true or false, got ${shown(value)}` };
}

function parseEnum({ values = [], refused = {} }: OptionSpec, value: JsonValue): ParsedValue {
  // Flink writes EXACTLY_ONCE in code and exactly-once in documentation.
  const name = typeof value === 'string' ? value.toLowerCase().replaceAll('_', '-') : undefined;
  const reason = Object.entries(refused).find(([candidate]) => candidate === name)?.[1];
  if (reason !== undefined) return { fault: reason };
  return name !== undefined && values.includes(name)
    ? { value: name }
    : { fault: `expected ${values.join(', ')}, got ${shown(value)}` };
}

function attempt(parse: (value: number | string) => number, value: JsonValue): number | undefined {
  if (typeof value !== 'number' && typeof value !== 'string') return undefined;
  try {
    return parse(value);
  } catch {
    return undefined;
  }
}

const NUMERAL = /^-?\d+(\.\d+)?$/;

function numberOf(value: JsonValue, isFit: (number: number) => boolean): number | undefined {
  const number = typeof value === 'string' && NUMERAL.test(value.trim()) ? Number(value) : value;
  return typeof number === 'number' && isFit(number) ? number : undefined;
}

function inRange(
  { type, min, max }: OptionSpec,
  given: JsonValue,
  value: number | undefined,
): ParsedValue {
  const expected = EXPECTED[type as keyof typeof EXPECTED]; // called for these types only
  if (value === undefined) return { fault: `expected ${expected}, got ${shown(given)}` };
  if (min !== undefined && value < min) return { fault: `${shown(given)} is below ${min}` };
  if (max !== undefined && value > max) return { fault: `${shown(given)} is above ${max}` };
  return { value };
}
