/** Sizes in memory as Flink writes them: a number of bytes, or text such as '512 b', '20 kb', '64 mb', '1 g'. Units are powers of 1024. */
import { invalid } from './errors.ts';

/** Bytes, or text with a unit. */
export type MemorySize = number | string;

const STEP = 1024;
const UNITS: ReadonlyMap<string, number> = new Map(
  [
    ['', 'b', 'byte', 'bytes'],
    ['k', 'kb', 'kib', 'kibibyte', 'kibibytes'],
    ['m', 'mb', 'mib', 'mebibyte', 'mebibytes'],
    ['g', 'gb', 'gib', 'gibibyte', 'gibibytes'],
    ['t', 'tb', 'tib', 'tebibyte', 'tebibytes'],
  ].flatMap((names, power) => names.map((name): [string, number] => [name, STEP ** power])),
);

/** Whole bytes. @throws `invalid` BAD_MEMORY_SIZE */
export function memorySizeBytes(size: MemorySize): number {
  const bytes = typeof size === 'number' ? size : parseText(size);
  if (!Number.isSafeInteger(bytes) || bytes < 0) {
    throw invalid(
      'BAD_MEMORY_SIZE',
      `${JSON.stringify(size)} is no size; write bytes as a number, or text such as '20 kb', '64 mb', '1 gb'`,
    );
  }
  return bytes;
}

function parseText(text: string): number {
  const match = /^\s*(\d+)\s*([a-z]*)\s*$/i.exec(text);
  const unit = UNITS.get(match?.[2]?.toLowerCase() ?? 'none');
  return match === null || unit === undefined ? Number.NaN : Number(match[1]) * unit;
}
