/**
 * Reads the timers that are due next from their tree, in which they are in order within each key group only: of every key group those that
 * come before the latest of the earliest found so far, the rest is stepped over.
 *
 * Cost: a seek for every key group that has timers, and one block for each where its timers fill more than that; otherwise the whole tree
 * once. So as many are read at a time as memory allows, as bytes. Key groups are read in parts side by side, so that the latency of the
 * store adds up for one part only.
 */
import { copyOf } from '../../base/bytes.ts';
import { inTurn } from '../../base/in-turn.ts';
import { compareKeys } from '../../lsm/key-order.ts';
import type { LsmTree } from '../../lsm/lsm-tree.ts';
import type { MergedScan } from '../../lsm/merged-scan.ts';
import { TABLE_DEFAULTS } from '../../lsm/table-writer.ts';
import type { KeyGroupRange } from '../../types/key-group.ts';
import { PackedTimers } from './packed-timers.ts';
import { keyGroupOf, stateOf, timerTime, timersFrom } from './state-key.ts';

/** The order in which timers of a table are due: timestamp, key group, bytes in the tree. */
export interface TimerPlace {
  readonly timestamp: number;
  readonly keyGroup: number;
  /** Undefined: after all of that timestamp and key group. */
  readonly bytes: Uint8Array | undefined;
}

export interface NextTimers {
  readonly timers: PackedTimers;
  /** All up to here are in it; undefined: all there are. */
  readonly end: TimerPlace | undefined;
}

export interface ReadNextTimersParams {
  readonly tree: LsmTree;
  /** Number of the timers' state. */
  readonly state: number;
  readonly keyGroups: KeyGroupRange;
  readonly after: TimerPlace;
  readonly most: number;
  /** Memory for them. */
  readonly bytesMost: number;
  readonly yieldToLoop: () => Promise<void>;
  readonly signal: AbortSignal;
}

const PARTS_MAX = 16;
/** Of the tree, so that a part is worth its requests. */
const PART_BYTES = 16 * TABLE_DEFAULTS.blockBytes;
/** Between two looks at other work: a few ms, since most of them are seeks. */
const ENTRIES_PER_SLICE = 512;

export function comparePlaces(a: TimerPlace, b: TimerPlace): number {
  if (a.timestamp !== b.timestamp) return a.timestamp < b.timestamp ? -1 : 1;
  if (a.keyGroup !== b.keyGroup) return a.keyGroup - b.keyGroup;
  if (a.bytes === undefined || b.bytes === undefined)
    return (a.bytes === undefined ? 1 : 0) - (b.bytes === undefined ? 1 : 0);
  return compareKeys(a.bytes, b.bytes);
}

/** The place of the timer that has this key in the tree. */
export const placeOf = (bytes: Uint8Array): TimerPlace & { readonly bytes: Uint8Array } => ({
  timestamp: timerTime(bytes),
  keyGroup: keyGroupOf(bytes),
  bytes,
});

/** The first timers after a place, at most `most`, at least one. The tree's state is that of the call. */
export async function readNextTimers(params: ReadNextTimersParams): Promise<NextTimers> {
  const timers = new PackedTimers(params);
  const parts = partsOf(params);
  const startOf = startsOf(params);
  const scans = await Promise.all(
    parts.map(({ start, end }) => {
      const to = Uint8Array.of((end + 1) >>> 8, end + 1);
      return params.tree.scanRange(startOf(start), to, params.signal);
    }),
  );
  // Side by side they would all take their slice in one turn.
  const yieldInTurn = inTurn(params.yieldToLoop);
  await Promise.all(scans.map((scan) => readPart(scan, { ...params, yieldInTurn }, timers)));
  const end = timers.full ? placeOf(timers.first()) : undefined;
  await timers.turn(params.yieldToLoop);
  return { timers, end };
}

function partsOf({ tree, keyGroups }: ReadNextTimersParams): readonly KeyGroupRange[] {
  const groups = keyGroups.end - keyGroups.start + 1;
  const bytes = tree.version.runs.reduce(
    (sum, { tables }) => sum + tables.reduce((inner, { length }) => inner + length, 0),
    0,
  );
  const count = Math.max(1, Math.min(PARTS_MAX, groups, Math.floor(bytes / PART_BYTES)));
  return Array.from({ length: count }, (_, i) => ({
    start: keyGroups.start + Math.floor((i * groups) / count),
    end: keyGroups.start + Math.floor(((i + 1) * groups) / count) - 1,
  }));
}

/** Where what comes after `after` begins in each key group. */
function startsOf({ state, after }: ReadNextTimersParams): (keyGroup: number) => Uint8Array {
  const first = timersFrom(0, state, after.timestamp);
  const later = successor(first);
  return (keyGroup) => {
    if (keyGroup === after.keyGroup && after.bytes !== undefined) return after.bytes;
    const start = copyOf(keyGroup <= after.keyGroup ? later : first);
    start[0] = keyGroup >>> 8;
    start[1] = keyGroup;
    return start;
  };
}

/** The next key of the same length: that of the next higher timestamp. */
function successor(bytes: Uint8Array): Uint8Array {
  const next = copyOf(bytes);
  let at = next.length - 1;
  while (next[at] === 0xff) next[at--] = 0;
  next[at]!++;
  return next;
}

async function readPart(
  scan: MergedScan,
  params: ReadNextTimersParams & { readonly yieldInTurn: () => Promise<void> },
  timers: PackedTimers,
): Promise<void> {
  const { state, after, yieldInTurn, signal } = params;
  const startOf = startsOf(params);
  const visit = (key: Uint8Array, length: number): Uint8Array | undefined => {
    const stateHere = stateOf(key);
    if (stateHere !== state) return startOf(keyGroupOf(key) + (stateHere < state ? 0 : 1));
    const timestamp = timerTime(key);
    if (!timers.wants(timestamp, key, length)) return startOf(keyGroupOf(key) + 1);
    if (isAfter(after, { timestamp, key, length })) timers.offer(timestamp, key, length);
    return undefined;
  };
  await yieldInTurn();
  while (await scan.walk(ENTRIES_PER_SLICE, visit)) {
    signal.throwIfAborted();
    await yieldInTurn();
  }
}

function isAfter(
  after: TimerPlace,
  { timestamp, key, length }: { timestamp: number; key: Uint8Array; length: number },
): boolean {
  if (timestamp !== after.timestamp) return timestamp > after.timestamp;
  return comparePlaces(placeOf(key.subarray(0, length)), after) > 0;
}
