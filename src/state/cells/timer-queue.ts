/**
 * The order of timers of one service and time domain: a heap of distinct timestamps, each with its timers in the order of
 * registration. Windows of many keys end at the same instant, so the heap stays small and firing is a walk over an array.
 *
 * Deletion marks; the mark is met when the timer's turn comes, or when half of all timers are marked. Cost: O(1) to register at a known
 * timestamp, else O(log t); firing looks nothing up; deletion O(1), amortised.
 */
import { NumberMap } from '../../base/number-map.ts';

/** Marks that are not worth a sweep. */
const MARKS_MIN = 1024;
/** Timestamps among which the latest timers are chosen; of more, a sample. */
const CHOICES_MAX = 4096;

export class Timer {
  readonly key: unknown;
  readonly keyGroup: number;
  readonly namespace: unknown;
  readonly namespaceId: unknown;
  readonly timestamp: number;
  deleted = false;

  constructor(
    key: unknown,
    keyGroup: number,
    namespace: unknown,
    namespaceId: unknown,
    timestamp: number,
  ) {
    this.key = key;
    this.keyGroup = keyGroup;
    this.namespace = namespace;
    this.namespaceId = namespaceId;
    this.timestamp = timestamp;
  }
}

interface Due {
  readonly timestamp: number;
  timers: Timer[];
  /** Timers before this have fired. */
  next: number;
}

/** Timers come after it when their timestamp is later, or the same and their key group higher. */
export interface QueueEnd {
  readonly timestamp: number;
  readonly keyGroup: number;
}

export class TimerQueue {
  readonly #due = new NumberMap<Due>();
  #heap: Due[] = [];
  #queued = 0;
  #marked = 0;
  /** The one that a timer was last added to: timers come in runs. */
  #last: Due | undefined;

  add(timer: Timer): void {
    this.#queued++;
    const due =
      this.#last?.timestamp === timer.timestamp ? this.#last : this.#due.get(timer.timestamp);
    if (due !== undefined) {
      this.#last = due;
      due.timers.push(timer);
      return;
    }
    const first: Due = { timestamp: timer.timestamp, timers: [timer], next: 0 };
    this.#due.set(timer.timestamp, first);
    this.#last = first;
    this.#push(first);
  }

  /** The earliest timestamp, or +Infinity. Deleted timers count until their turn. */
  get first(): number {
    const earliest = this.#heap[0];
    return earliest === undefined ? Number.POSITIVE_INFINITY : earliest.timestamp;
  }

  /** Takes the earliest live timer with timestamp <= `until`, in registration order within a timestamp. */
  poll(until: number): Timer | undefined {
    const timer = this.peek(until);
    if (timer === undefined) return undefined;
    this.#heap[0]!.next++;
    this.#queued--;
    return timer;
  }

  /** Deletes a timer that is queued. */
  drop(timer: Timer): void {
    timer.deleted = true;
    if (++this.#marked > MARKS_MIN && 2 * this.#marked > this.#queued)
      this.#keep(({ deleted }) => !deleted);
  }

  /** Takes out the latest live timers, about `count` of them and at least one, and says after what they come. */
  takeLatest(count: number): { readonly timers: readonly Timer[]; readonly end: QueueEnd } {
    const end = this.#endBefore(count);
    const timers: Timer[] = [];
    this.#keep((timer) => {
      if (timer.deleted) return false;
      const { timestamp, keyGroup } = timer;
      if (timestamp < end.timestamp) return true;
      if (timestamp === end.timestamp && keyGroup <= end.keyGroup) return true;
      timers.push(timer);
      return false;
    });
    return { timers, end };
  }

  /** The timer that `poll` would take. */
  peek(until: number): Timer | undefined {
    for (
      let due = this.#heap[0];
      due !== undefined && due.timestamp <= until;
      due = this.#heap[0]
    ) {
      const { timers } = due;
      while (due.next < timers.length) {
        const timer = timers[due.next]!;
        if (!timer.deleted) return timer;
        due.next++;
        this.#queued--;
        this.#marked--;
      }
      this.#due.delete(due.timestamp);
      if (this.#last === due) this.#last = undefined;
      this.#pop();
    }
    return undefined;
  }

  /** Visits timers that are due with the earliest timestamps, at most `limit`; nothing is taken. */
  ahead(until: number, limit: number, visit: (timer: Timer) => void): void {
    let left = limit;
    for (const { timers, next } of this.#earliest(until, limit)) {
      for (let i = next; i < timers.length && left > 0; i++) {
        if (timers[i]!.deleted) continue;
        visit(timers[i]!);
        left--;
      }
    }
  }

  /** Distinct timestamps up to `until`, in order, at most `limit`. */
  #earliest(until: number, limit: number): readonly Due[] {
    return this.#heap
      .filter(({ timestamp }) => timestamp <= until)
      .sort((a, b) => a.timestamp - b.timestamp)
      .slice(0, limit);
  }

  /** The place after which about `count` timers are queued. */
  #endBefore(count: number): QueueEnd {
    const stride = Math.ceil(this.#heap.length / CHOICES_MAX);
    const latest = this.#heap
      .filter((_, i) => i % stride === 0)
      .sort((a, b) => b.timestamp - a.timestamp);
    let after = 0;
    for (const { timestamp, timers, next } of latest) {
      const here = (timers.length - next) * stride;
      if (after + here < count) {
        after += here;
        continue;
      }
      const groups = timers
        .slice(next)
        .filter(({ deleted }) => !deleted)
        .map(({ keyGroup }) => keyGroup)
        .sort((a, b) => b - a);
      const keyGroup = groups[Math.ceil((count - after) / stride)] ?? -1;
      // All of one key group stays or goes.
      const divides = after > 0 || (groups[0] ?? -1) > keyGroup;
      return { timestamp, keyGroup: divides ? keyGroup : -1 };
    }
    return { timestamp: Number.NEGATIVE_INFINITY, keyGroup: -1 };
  }

  #keep(stays: (timer: Timer) => boolean): void {
    const all = this.#heap;
    this.#heap = [];
    this.#queued = 0;
    this.#marked = 0;
    this.#last = undefined;
    for (const due of all) {
      const timers: Timer[] = [];
      for (let i = due.next; i < due.timers.length; i++)
        if (stays(due.timers[i]!)) timers.push(due.timers[i]!);
      if (timers.length === 0) {
        this.#due.delete(due.timestamp);
        continue;
      }
      due.timers = timers;
      due.next = 0;
      this.#queued += timers.length;
      this.#push(due);
    }
  }

  #push(due: Due): void {
    const heap = this.#heap;
    let at = heap.push(due) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (heap[parent]!.timestamp <= due.timestamp) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = due;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && heap[child + 1]!.timestamp < heap[child]!.timestamp) child++;
      if (heap[child]!.timestamp >= last.timestamp) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
  }
}
