/**
 * The order of timers of one service and time domain: a heap of distinct timestamps, each with its timers in the order of
 * registration. Windows of many keys end at the same instant, so the heap stays small and firing is a walk over an array.
 *
 * Deletion marks; the mark is met when the timer's turn comes. Cost: O(1) to register at a known timestamp, else O(log t).
 */
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
  readonly timers: Timer[];
  /** Timers before this have fired. */
  next: number;
}

export class TimerQueue {
  readonly #due = new Map<number, Due>();
  readonly #heap: number[] = [];

  add(timer: Timer): void {
    const due = this.#due.get(timer.timestamp);
    if (due !== undefined) {
      due.timers.push(timer);
      return;
    }
    this.#due.set(timer.timestamp, { timers: [timer], next: 0 });
    this.#push(timer.timestamp);
  }

  /** The earliest timestamp, or +Infinity. Deleted timers count until their turn. */
  get first(): number {
    return this.#heap[0] ?? Number.POSITIVE_INFINITY;
  }

  /** Takes the earliest live timer with timestamp <= `until`, in registration order within a timestamp. */
  poll(until: number): Timer | undefined {
    while (this.#heap.length > 0 && this.first <= until) {
      const due = this.#due.get(this.first)!;
      while (due.next < due.timers.length) {
        const timer = due.timers[due.next++]!;
        if (!timer.deleted) return timer;
      }
      this.#due.delete(this.first);
      this.#pop();
    }
    return undefined;
  }

  /** The timer that `poll` would take. */
  peek(until: number): Timer | undefined {
    while (this.#heap.length > 0 && this.first <= until) {
      const due = this.#due.get(this.first)!;
      while (due.next < due.timers.length) {
        const timer = due.timers[due.next]!;
        if (!timer.deleted) return timer;
        due.next++;
      }
      this.#due.delete(this.first);
      this.#pop();
    }
    return undefined;
  }

  /** Visits timers that are due with the earliest timestamps, at most `limit`; nothing is taken. */
  ahead(until: number, limit: number, visit: (timer: Timer) => void): void {
    let left = limit;
    for (const timestamp of this.#earliest(until, limit)) {
      const { timers, next } = this.#due.get(timestamp)!;
      for (let i = next; i < timers.length && left > 0; i++) {
        if (timers[i]!.deleted) continue;
        visit(timers[i]!);
        left--;
      }
    }
  }

  /** Distinct timestamps up to `until`, in order, at most `limit`. */
  #earliest(until: number, limit: number): readonly number[] {
    return this.#heap
      .filter((timestamp) => timestamp <= until)
      .sort((a, b) => a - b)
      .slice(0, limit);
  }

  #push(timestamp: number): void {
    const heap = this.#heap;
    let at = heap.push(timestamp) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (heap[parent]! <= timestamp) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = timestamp;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && heap[child + 1]! < heap[child]!) child++;
      if (heap[child]! >= last) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
  }
}
