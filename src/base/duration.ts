/** Durations as Flink writes them: a number of milliseconds, or text such as '500 ms', '10 s', '5 min', '1 h', '2 d'. */
import { invalid } from './errors.ts';

/** Milliseconds, or text with a unit. */
export type Duration = number | string;

const UNITS: ReadonlyMap<string, number> = new Map([
  ...['ms', 'milli', 'millis', 'millisecond', 'milliseconds'].map((unit): [string, number] => [
    unit,
    1,
  ]),
  ...['s', 'sec', 'secs', 'second', 'seconds'].map((unit): [string, number] => [unit, 1000]),
  ...['m', 'min', 'mins', 'minute', 'minutes'].map((unit): [string, number] => [unit, 60_000]),
  ...['h', 'hour', 'hours'].map((unit): [string, number] => [unit, 3_600_000]),
  ...['d', 'day', 'days'].map((unit): [string, number] => [unit, 86_400_000]),
]);

/** Whole milliseconds. @throws `invalid` BAD_DURATION */
export function durationMs(duration: Duration): number {
  const value = typeof duration === 'number' ? duration : parseText(duration);
  if (!Number.isSafeInteger(value)) {
    throw invalid(
      'BAD_DURATION',
      `${JSON.stringify(duration)} is no duration; write milliseconds as a number, or text such as '10 s', '5 min', '1 h'`,
    );
  }
  return value;
}

function parseText(text: string): number {
  const match = /^\s*(-?\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(text);
  if (match === null) return Number.NaN;
  const unit = UNITS.get(match[2] === '' ? 'ms' : match[2]!.toLowerCase());
  return unit === undefined ? Number.NaN : Number(match[1]) * unit;
}
