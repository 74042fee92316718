/**
 * Windows, and how they are written as state namespaces.
 *
 * A `WindowKind` turns windows into namespace values and back. Windows of one fixed size are named by their start, a plain number: the
 * cheapest namespace there is. Others are named by start and end.
 */
import type { Schema } from '../../types/schema.ts';
import { t } from '../../types/t.ts';

export interface Window {
  /** The largest timestamp that belongs to it. */
  readonly maxTimestamp: number;
}

/** [start, end) in epoch milliseconds. */
export class TimeWindow implements Window {
  readonly start: number;
  readonly end: number;

  constructor(start: number, end: number) {
    this.start = start;
    this.end = end;
  }

  get maxTimestamp(): number {
    return this.end - 1;
  }

  intersects(other: TimeWindow): boolean {
    return this.start <= other.end && this.end >= other.start;
  }

  cover(other: TimeWindow): TimeWindow {
    return new TimeWindow(Math.min(this.start, other.start), Math.max(this.end, other.end));
  }
}

/** The one window of all time. */
export class GlobalWindow implements Window {
  get maxTimestamp(): number {
    return Number.POSITIVE_INFINITY;
  }
}

export interface WindowKind<W extends Window> {
  readonly schema: Schema<unknown>;
  toNamespace(window: W): unknown;
  fromNamespace(namespace: unknown): W;
  same(a: W, b: W): boolean;
}

const sameTime = (a: TimeWindow, b: TimeWindow): boolean => a.start === b.start && a.end === b.end;

/** Windows that all last `sizeMs`. */
export function fixedWindows(sizeMs: number): WindowKind<TimeWindow> {
  return {
    schema: t.int64(),
    toNamespace: (window) => window.start,
    fromNamespace: (start) => new TimeWindow(start as number, (start as number) + sizeMs), // written by toNamespace
    same: sameTime,
  };
}

export const VARIABLE_WINDOWS: WindowKind<TimeWindow> = {
  schema: t.tuple(t.int64(), t.int64()),
  toNamespace: ({ start, end }) => [start, end],
  fromNamespace: (namespace) => {
    const [start, end] = namespace as readonly [number, number]; // written by toNamespace
    return new TimeWindow(start, end);
  },
  same: sameTime,
};

const THE_GLOBAL_WINDOW = new GlobalWindow();

export const GLOBAL_WINDOW: WindowKind<GlobalWindow> = {
  schema: t.int8(),
  toNamespace: () => 0,
  fromNamespace: () => THE_GLOBAL_WINDOW,
  same: () => true,
};

/** Start of the window of `sizeMs` that holds `timestamp`; exact for negative times. */
export function windowStart(timestamp: number, offsetMs: number, sizeMs: number): number {
  const rest = (timestamp - offsetMs) % sizeMs;
  return timestamp - (rest < 0 ? rest + sizeMs : rest);
}
