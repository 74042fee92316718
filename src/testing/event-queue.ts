/** A binary heap of simulated events: by due time, then by a seeded draw, then by age. Push and pop are O(log n). */

export interface SimEvent {
  readonly atMs: number;
  /** Seeded draw that orders events due at the same time. */
  readonly tie: number;
  readonly sequence: number;
  readonly label: string;
  cancelled: boolean;
  run(): void;
}

function before(a: SimEvent, b: SimEvent): boolean {
  if (a.atMs !== b.atMs) return a.atMs < b.atMs;
  return a.tie === b.tie ? a.sequence < b.sequence : a.tie < b.tie;
}

export class EventQueue {
  readonly #heap: SimEvent[] = [];

  get size(): number {
    return this.#heap.length;
  }

  push(event: SimEvent): void {
    const heap = this.#heap;
    let at = heap.push(event) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(event, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = event;
  }

  /** The next event that was not cancelled, without taking it. */
  peek(): SimEvent | undefined {
    while (this.#heap[0]?.cancelled === true) this.#take();
    return this.#heap[0];
  }

  pop(): SimEvent | undefined {
    return this.peek() === undefined ? undefined : this.#take();
  }

  #take(): SimEvent {
    const heap = this.#heap;
    const first = heap[0]!; // callers have seen one
    const last = heap.pop()!;
    if (heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
      if (!before(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}
