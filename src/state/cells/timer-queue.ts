/**
 * The order of timers of one service and time domain: distinct timestamps, each with its timers in the order of registration. Windows of many
 * keys end at the same instant, so that firing is mostly a walk over an array.
 *
 *   near     a heap of the earliest timestamps
 *   later    runs of later ones, each unordered, by the timestamp it begins at; near is refilled by the first of them
 *
 * A heap or run that becomes too long is divided in the middle, so that whatever is done at once is done to a few thousand timestamps:
 * the latest timers leave by the last run. In a queue that divides, a timestamp of very many timers has runs of its own, by key group.
 *
 * Deletion marks (`gone`); the mark is met when the timer's turn comes, or when half of all timers are marked. Cost: O(1) to register at a known
 * timestamp, else O(log t); firing looks nothing up; deletion O(1), amortised.
 */
import { NumberMap } from '../../base/number-map.ts';
import { MAX_PARALLELISM_LIMIT } from '../../types/key-group.ts';

/** Marks that are not worth a sweep. */
const MARKS_MIN = 1024;
/** Timestamps of a run. */
const RUN_MOST = 8192;
/** A run is divided in the middle of so many. */
const SAMPLED = 65;
/** Timers of one timestamp and range of key groups, where the queue divides. */
const TOGETHER_MOST = 1 << 16;

/** A timer as the queue sees it. */
export interface QueuedTimer {
  readonly keyGroup: number;
  /** Deleted. */
  readonly gone: boolean;
}

interface Groups<T> {
  readonly from: number;
  timers: T[];
}

interface Due<T> {
  readonly timestamp: number;
  timers: T[];
  /** Timers before this have fired. */
  next: number;
  /** Higher key groups than those of `timers`, in order; their turn comes after it. */
  groups: Groups<T>[];
}

interface Run<T> {
  readonly from: number;
  dues: Due<T>[];
}

/** Of timestamps that are not divided. */
const UNDIVIDED: never[] = [];

/** Timers come after it when their timestamp is later, or the same and their key group higher. */
export interface QueueEnd {
  readonly timestamp: number;
  readonly keyGroup: number;
}

export class TimerQueue<T extends QueuedTimer> {
  readonly #due = new NumberMap<Due<T>>();
  #near: Due<T>[] = [];
  /** In order. Not empty only where `near` is not. */
  readonly #later: Run<T>[] = [];
  /** Where `later` begins. */
  #nearEnd = Number.POSITIVE_INFINITY;
  readonly #togetherMost: number;
  #queued = 0;
  #marked = 0;
  #sweepAt = 0;
  /** The one that a timer was last added to: timers come in runs. */
  #last: Due<T> | undefined;

  /** `divides`: the latest timers may have to leave, so that those of one timestamp go by key group when they are many. */
  constructor({ divides }: { readonly divides: boolean }) {
    this.#togetherMost = divides ? TOGETHER_MOST : Number.POSITIVE_INFINITY;
  }

  add(timer: T, timestamp: number): void {
    this.#queued++;
    const due = this.#last?.timestamp === timestamp ? this.#last : this.#due.get(timestamp);
    if (due === undefined) {
      const first: Due<T> = { timestamp, timers: [timer], next: 0, groups: UNDIVIDED };
      this.#due.set(timestamp, first);
      this.#last = first;
      this.#push(first);
      return;
    }
    this.#last = due;
    if (due.groups.length === 0) due.timers.push(timer);
    else groupsOf(due, timer.keyGroup).timers.push(timer);
    if (due.timers.length > this.#togetherMost && due.groups.length === 0)
      this.#divide(due, this.#togetherMost >> 4);
  }

  /** The earliest timestamp, or +Infinity. Deleted timers count until their turn. */
  get first(): number {
    const earliest = this.#near[0];
    return earliest === undefined ? Number.POSITIVE_INFINITY : earliest.timestamp;
  }

  /** Takes the earliest live timer with timestamp <= `until`, in registration order within a timestamp unless the queue divides. */
  poll(until: number): T | undefined {
    const timer = this.peek(until);
    if (timer === undefined) return undefined;
    this.#near[0]!.next++;
    this.#queued--;
    return timer;
  }

  /** A timer that is queued is gone. */
  dropOne(): void {
    if (++this.#marked > MARKS_MIN && 2 * this.#marked > this.#queued) this.#sweep();
  }

  /** Takes out the latest live timers, about `count` of them and at least one if there is one, and says after what they come. */
  takeLatest(count: number): { readonly timers: readonly T[]; readonly end: QueueEnd } {
    const timers: T[] = [];
    let end: QueueEnd = { timestamp: Number.NEGATIVE_INFINITY, keyGroup: -1 };
    while (timers.length < count && this.#near.length > 0) {
      const run = this.#later.at(-1)?.dues ?? this.#near;
      // What is left of a run after this is in order, and what remains of it is taken from its end.
      const kept = run.sort((a, b) => a.timestamp - b.timestamp);
      while (timers.length < count && kept.length > 0) {
        end = this.#takeFrom(kept.at(-1)!, count, timers);
        if (end.keyGroup === -1) kept.pop();
      }
      // In order is a heap too.
      if (kept.length === 0 && this.#later.pop() !== undefined)
        this.#nearEnd = this.#later[0]?.from ?? Number.POSITIVE_INFINITY;
    }
    return { timers, end };
  }

  /** The timer that `poll` would take. */
  peek(until: number): T | undefined {
    for (
      let due = this.#near[0];
      due !== undefined && due.timestamp <= until;
      due = this.#near[0]
    ) {
      const { timers } = due;
      while (due.next < timers.length) {
        const timer = timers[due.next]!;
        if (!timer.gone) return timer;
        due.next++;
        this.#queued--;
        this.#marked--;
      }
      const groups = due.groups.shift();
      if (groups !== undefined) {
        due.timers = groups.timers;
        due.next = 0;
        continue;
      }
      this.#forget(due);
      this.#pop();
    }
    return undefined;
  }

  /** Visits timers that are due with the earliest timestamps, at most `limit`; nothing is taken. */
  ahead(until: number, limit: number, visit: (timer: T) => void): void {
    let left = limit;
    for (let i = -1; i < this.#later.length && left > 0; i++) {
      const run = i === -1 ? this.#near : this.#later[i]!.dues;
      const inOrder = run
        .filter(({ timestamp }) => timestamp <= until)
        .sort((a, b) => a.timestamp - b.timestamp);
      if (inOrder.length === 0) return;
      for (const { timers, next, groups } of inOrder) {
        left = visitLive(timers, { from: next, limit: left }, visit);
        for (const { timers: later } of groups)
          left = visitLive(later, { from: 0, limit: left }, visit);
        if (left === 0) return;
      }
    }
  }

  /** The timers of a timestamp, or of its last key groups if they are many. @returns after what they come */
  #takeFrom(due: Due<T>, count: number, timers: T[]): QueueEnd {
    const { timestamp } = due;
    const last = due.groups.at(-1)?.timers ?? due.timers;
    if (last.length > 2 * count) this.#divide(due, count);
    const part = due.groups.pop();
    this.#takeLive(part?.timers ?? due.timers, part === undefined ? due.next : 0, timers);
    if (part !== undefined) return { timestamp, keyGroup: part.from - 1 };
    this.#forget(due);
    return { timestamp, keyGroup: -1 };
  }

  /** Divides the last key groups of a timestamp into parts of about `each` timers; one key group stays together. */
  #divide(due: Due<T>, each: number): void {
    const part = due.groups.pop();
    const all: T[] = [];
    this.#takeLive(part?.timers ?? due.timers, part === undefined ? due.next : 0, all);
    this.#queued += all.length;
    const parts = byKeyGroup(all, each);
    if (part === undefined) {
      due.timers = parts.shift()?.timers ?? [];
      due.next = 0;
    }
    due.groups = [...due.groups, ...parts];
  }

  #takeLive(timers: readonly T[], from: number, into: T[]): void {
    for (let i = from; i < timers.length; i++) {
      const timer = timers[i]!;
      if (timer.gone) this.#marked--;
      else into.push(timer);
    }
    this.#queued -= timers.length - from;
  }

  /** Removes the marked timers of one run: the next time those of the next one. */
  #sweep(): void {
    if (this.#sweepAt > this.#later.length) this.#sweepAt = 0;
    const run = this.#sweepAt === 0 ? undefined : this.#later[this.#sweepAt - 1];
    this.#sweepAt++;
    const dues = (run?.dues ?? this.#near).filter((due) => {
      const timers: T[] = [];
      this.#takeLive(due.timers, due.next, timers);
      due.timers = timers;
      due.next = 0;
      let live = timers.length;
      for (const part of due.groups) {
        const kept: T[] = [];
        this.#takeLive(part.timers, 0, kept);
        part.timers = kept;
        live += kept.length;
      }
      this.#queued += live;
      if (live === 0) this.#forget(due);
      return live > 0;
    });
    if (run === undefined) this.#setNear(dues);
    else run.dues = dues;
  }

  #forget(due: Due<T>): void {
    this.#due.delete(due.timestamp);
    if (this.#last === due) this.#last = undefined;
  }

  #push(due: Due<T>): void {
    const { timestamp } = due;
    if (timestamp >= this.#nearEnd) {
      const at = this.#runAt(timestamp);
      const { dues } = this.#later[at]!;
      if (dues.push(due) > RUN_MOST) this.#split(dues, at);
      return;
    }
    const heap = this.#near;
    let at = heap.push(due) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (heap[parent]!.timestamp <= timestamp) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = due;
    if (heap.length > RUN_MOST) this.#split(heap, -1);
  }

  /** The run of `later` that a timestamp from `nearEnd` on belongs to. */
  #runAt(timestamp: number): number {
    const later = this.#later;
    let low = 0;
    let high = later.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (later[middle]!.from <= timestamp) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** The later half becomes a run of its own. */
  #split(dues: readonly Due<T>[], at: number): void {
    const stride = Math.floor(dues.length / SAMPLED);
    const sample = Float64Array.from({ length: SAMPLED }, (_, i) => dues[i * stride]!.timestamp);
    const from = sample.sort()[SAMPLED >> 1]!;
    const early = dues.filter(({ timestamp }) => !(timestamp >= from));
    this.#later.splice(at + 1, 0, { from, dues: dues.filter((due) => due.timestamp >= from) });
    if (at === -1) this.#setNear(early);
    else this.#later[at]!.dues = early;
  }

  /** A run in no order becomes the heap; if it is empty, the next one does. */
  #setNear(dues: Due<T>[]): void {
    let heap = dues;
    while (heap.length === 0 && this.#later.length > 0) heap = this.#later.shift()!.dues;
    this.#near = heap;
    this.#nearEnd = this.#later[0]?.from ?? Number.POSITIVE_INFINITY;
    for (let at = (heap.length >> 1) - 1; at >= 0; at--) this.#down(at);
  }

  #pop(): void {
    const heap = this.#near;
    const last = heap.pop()!;
    if (heap.length === 0) {
      if (this.#later.length > 0) this.#setNear(heap);
      return;
    }
    heap[0] = last;
    this.#down(0);
  }

  #down(from: number): void {
    const heap = this.#near;
    const due = heap[from]!;
    let at = from;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && heap[child + 1]!.timestamp < heap[child]!.timestamp) child++;
      if (heap[child]!.timestamp >= due.timestamp) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = due;
  }
}

/** @returns what is left of the limit */
function visitLive<T extends QueuedTimer>(
  timers: readonly T[],
  { from, limit }: { readonly from: number; readonly limit: number },
  visit: (timer: T) => void,
): number {
  let left = limit;
  for (let i = from; i < timers.length && left > 0; i++) {
    if (timers[i]!.gone) continue;
    visit(timers[i]!);
    left--;
  }
  return left;
}

/** Where a timer of a divided timestamp belongs. */
function groupsOf<T>(due: Due<T>, keyGroup: number): Pick<Due<T>, 'timers'> {
  const { groups } = due;
  let low = -1;
  let high = groups.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (groups[middle]!.from <= keyGroup) low = middle;
    else high = middle - 1;
  }
  return low === -1 ? due : groups[low]!;
}

/** Ranges of key groups with at least `each` timers, but for the last. */
function byKeyGroup<T extends QueuedTimer>(timers: readonly T[], each: number): Groups<T>[] {
  const counts = new Uint32Array(MAX_PARALLELISM_LIMIT);
  for (const { keyGroup } of timers) counts[keyGroup]!++;
  const partOf = new Uint32Array(MAX_PARALLELISM_LIMIT);
  const parts: Groups<T>[] = [];
  let here = each;
  for (let keyGroup = 0; keyGroup < MAX_PARALLELISM_LIMIT; keyGroup++) {
    if (counts[keyGroup] === 0) continue;
    if (here >= each) {
      parts.push({ from: keyGroup, timers: [] });
      here = 0;
    }
    here += counts[keyGroup]!;
    partOf[keyGroup] = parts.length - 1;
  }
  for (const timer of timers) parts[partOf[timer.keyGroup]!]!.timers.push(timer);
  return parts;
}
