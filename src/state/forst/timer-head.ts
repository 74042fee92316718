/**
 * Reads the timers that are due next from their tree, in which they are in order within each key group only: of every key group those that
 * come before the latest of the earliest found so far, the rest is stepped over.
 *
 * Cost: a seek for every key group that has timers, and one block for each where its timers fill more than that; otherwise the whole tree
 * once. Key groups are read in parts side by side, so that the latency of the store adds up for one part only. Memory: `most` timers.
 */
import { compareKeys } from '../../lsm/key-order.ts';
import type { LsmTree } from '../../lsm/lsm-tree.ts';
import type { MergedScan } from '../../lsm/merged-scan.ts';
import { TABLE_DEFAULTS } from '../../lsm/table-writer.ts';
import type { KeyGroupRange } from '../../types/key-group.ts';
import { parseStateKey, readOrdered, timersFrom } from './state-key.ts';

/** The order in which timers of a table are due: timestamp, key group, bytes in the tree. */
export interface TimerPlace {
  readonly timestamp: number;
  readonly keyGroup: number;
  /** Undefined: after all of that timestamp and key group. */
  readonly bytes: Uint8Array | undefined;
}

export interface StoredTimer extends TimerPlace {
  /** Its key in the tree. */
  readonly bytes: Uint8Array;
}

export interface TimerHead {
  /** In order. */
  readonly timers: readonly StoredTimer[];
  /** All up to here are in it; undefined: all there are. */
  readonly end: TimerPlace | undefined;
}

export interface ReadTimerHeadParams {
  readonly tree: LsmTree;
  /** Number of the timers' state. */
  readonly state: number;
  readonly keyGroups: KeyGroupRange;
  readonly after: TimerPlace;
  readonly most: number;
  readonly yieldToLoop: () => Promise<void>;
  readonly signal: AbortSignal;
}

const PARTS_MAX = 16;
/** Of the tree, so that a part is worth its requests. */
const PART_BYTES = 16 * TABLE_DEFAULTS.blockBytes;
/** Timers of a key group read before it is known that more of them are wanted; then twice as many each time. */
const SCAN_FIRST = 2;
const SCAN_MOST = 64;
const ENTRIES_PER_SLICE = 2048;

/** @hot */
export function comparePlaces(a: TimerPlace, b: TimerPlace): number {
  if (a.timestamp !== b.timestamp) return a.timestamp < b.timestamp ? -1 : 1;
  if (a.keyGroup !== b.keyGroup) return a.keyGroup - b.keyGroup;
  if (a.bytes === undefined || b.bytes === undefined)
    return (a.bytes === undefined ? 1 : 0) - (b.bytes === undefined ? 1 : 0);
  return compareKeys(a.bytes, b.bytes);
}

/** The first timers after a place, at most `most`. The tree's state is that of the call. */
export async function readTimerHead(params: ReadTimerHeadParams): Promise<TimerHead> {
  const earliest = new Earliest(params.most);
  const parts = partsOf(params);
  const scans = await Promise.all(
    parts.map(({ start, end }) => {
      const to = Uint8Array.of((end + 1) >>> 8, end + 1);
      return params.tree.scanRange(startOf(start, params), to, params.signal);
    }),
  );
  await Promise.all(scans.map((scan, i) => readPart(scan, parts[i]!, params, earliest)));
  const timers = earliest.sorted();
  return { timers, end: earliest.full ? timers.at(-1)! : undefined };
}

function partsOf({ tree, keyGroups }: ReadTimerHeadParams): readonly KeyGroupRange[] {
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

const startOf = (keyGroup: number, { state, after }: ReadTimerHeadParams): Uint8Array =>
  timersFrom(keyGroup, state, after.timestamp);

async function readPart(
  scan: MergedScan,
  { end }: KeyGroupRange,
  params: ReadTimerHeadParams,
  earliest: Earliest,
): Promise<void> {
  const { state, after, yieldToLoop, signal } = params;
  let batch = SCAN_FIRST;
  let sinceYield = 0;
  for (;;) {
    const entries = await scan.next(batch);
    signal.throwIfAborted();
    if (entries.length === 0) return;
    let last: TimerPlace | undefined;
    let next: Uint8Array | undefined;
    for (const { key } of entries) {
      const parts = parseStateKey(key);
      last = undefined;
      next = undefined;
      if (parts.state === state) {
        const { keyGroup } = parts;
        const timer = { timestamp: readOrdered(parts.namespace), keyGroup, bytes: key };
        if (comparePlaces(timer, after) > 0) earliest.offer(timer);
        last = timer;
      }
      if (last === undefined || !earliest.wants(last)) {
        const keyGroup = parts.state < state ? parts.keyGroup : parts.keyGroup + 1;
        if (keyGroup > end) return;
        next = startOf(keyGroup, params);
      }
    }
    batch = next === undefined ? Math.min(SCAN_MOST, 2 * batch) : SCAN_FIRST;
    if (next !== undefined) scan.seek(next);
    sinceYield += entries.length;
    if (sinceYield < ENTRIES_PER_SLICE) continue;
    sinceYield = 0;
    await yieldToLoop();
  }
}

/** The earliest of what is offered: a heap with the latest on top. */
class Earliest {
  readonly #most: number;
  readonly #heap: StoredTimer[] = [];

  constructor(most: number) {
    this.#most = most;
  }

  get full(): boolean {
    return this.#heap.length === this.#most;
  }

  /** Whether a timer after that place could be among them. */
  wants(place: TimerPlace): boolean {
    return !this.full || comparePlaces(place, this.#heap[0]!) < 0;
  }

  offer(timer: StoredTimer): void {
    if (!this.full) this.#push(timer);
    else if (comparePlaces(timer, this.#heap[0]!) < 0) this.#replaceTop(timer);
  }

  sorted(): readonly StoredTimer[] {
    return this.#heap.toSorted(comparePlaces);
  }

  #push(timer: StoredTimer): void {
    const heap = this.#heap;
    let at = heap.push(timer) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (comparePlaces(heap[parent]!, timer) >= 0) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = timer;
  }

  #replaceTop(timer: StoredTimer): void {
    const heap = this.#heap;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && comparePlaces(heap[child + 1]!, heap[child]!) > 0) child++;
      if (comparePlaces(heap[child]!, timer) <= 0) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = timer;
  }
}
