/** A link between two parties on one thread: messages go by reference, in order, in a later turn. */
import type { MessageLink, Timers } from '../base/world.ts';

class MemoryEnd implements MessageLink {
  readonly #timers: Timers;
  readonly #inbox: unknown[] = [];
  #receive: ((message: unknown) => void) | undefined;
  #closed: (() => void)[] = [];
  #scheduled = false;
  #open = true;
  peer: MemoryEnd | undefined;

  constructor(timers: Timers) {
    this.#timers = timers;
  }

  post(message: unknown): void {
    if (this.#open) this.peer!.#deliver(message);
  }

  onMessage(receive: (message: unknown) => void): void {
    this.#receive = receive;
    this.#schedule();
  }

  onClose(closed: () => void): void {
    this.#closed.push(closed);
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    for (const closed of this.#closed.splice(0)) closed();
    this.peer!.close();
  }

  #deliver(message: unknown): void {
    this.#inbox.push(message);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled || this.#receive === undefined || this.#inbox.length === 0) return;
    this.#scheduled = true;
    this.#timers.soon(() => {
      this.#scheduled = false;
      for (const message of this.#inbox.splice(0)) this.#receive!(message);
      this.#schedule();
    });
  }
}

export function memoryLink(timers: Timers): readonly [MessageLink, MessageLink] {
  const [a, b] = [new MemoryEnd(timers), new MemoryEnd(timers)];
  a.peer = b;
  b.peer = a;
  return [a, b];
}
