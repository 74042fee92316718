/**
 * The order of timers of one service and time domain: a heap of distinct timestamps, each with its timers in the order of
 * registration. Windows of many keys end at the same instant, so the heap stays small and firing is a walk over an array.
 *
 * Deletion marks; the mark is met when the timer's turn comes. Cost: O(1) to register at a known timestamp, else O(log t); firing looks
 * nothing up.
 */
import { NumberMap } from '../../base/number-map.ts';

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
  readonly timers: Timer[];
  /** Timers before this have fired. */
  next: number;
}

export class TimerQueue {
  readonly #due = new NumberMap<Due>();
  readonly #heap: Due[] = [];
  /** The one that a timer was last added to: timers come in runs. */
  #last: Due | undefined;

  add(timer: Timer): void {
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
    if (timer !== undefined) this.#heap[0]!.next++;
    return timer;
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
