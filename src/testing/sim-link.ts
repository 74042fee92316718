/**
 * A message link between two simulated nodes: ordered, reliable, with a seeded delay.
 *
 * Messages are structured clones, so sender and receiver never share an object, and what cannot be cloned fails here as it does
 * between threads; buffers in `transfer` are detached at the sender. When a node dies, the other side first gets a prefix, drawn
 * from the seed, of what was under way, then the close.
 */
import type { MessageLink } from '../base/world.ts';
import type { SimNode } from './sim-node.ts';

export interface LinkDelay {
  readonly leastMs: number;
  readonly mostMs: number;
  /** Now and then a message takes up to `stallMs`. */
  readonly stallProbability: number;
  readonly stallMs: number;
}

export const THREAD_DELAY: LinkDelay = {
  leastMs: 0.005,
  mostMs: 0.2,
  stallProbability: 0.01,
  stallMs: 20,
};

type Parcel = { readonly message: unknown } | 'close';

class LinkEnd implements MessageLink {
  readonly node: SimNode;
  readonly #label: string;
  readonly #delay: LinkDelay;
  peer!: LinkEnd;
  #underWay: Parcel[] = [];
  #early: unknown[] = [];
  #receive: ((message: unknown) => void) | undefined;
  #onClose: (() => void)[] = [];
  #closed = false;

  constructor(node: SimNode, label: string, delay: LinkDelay) {
    this.node = node;
    this.#label = label;
    this.#delay = delay;
  }

  join(peer: LinkEnd): void {
    this.peer = peer;
    this.node.onDeath(() => this.#die());
  }

  post(message: unknown, transfer: readonly ArrayBuffer[] = []): void {
    const clone: unknown = structuredClone(message, { transfer: [...transfer] });
    if (this.#closed || !this.node.alive) return;
    const type = typeOf(clone);
    if (type !== undefined && !this.node.step(`sends ${type}`)) return;
    this.peer.expect({ message: clone });
  }

  onMessage(receive: (message: unknown) => void): void {
    this.#receive = receive;
    if (this.#early.length === 0) return;
    this.node.after(0, `${this.#label} early`, () => {
      for (const message of this.#early.splice(0)) receive(message);
    });
  }

  onClose(closed: () => void): void {
    if (this.#closed) this.node.after(0, `${this.#label} closed`, closed);
    else this.#onClose.push(closed);
  }

  close(): void {
    if (this.#closed) return;
    if (this.node.alive) this.peer.expect('close');
    this.#shut();
  }

  /** A parcel for this end is on its way. The delay orders nothing: each event delivers the oldest parcel. */
  expect(parcel: Parcel): void {
    if (this.#closed || !this.node.alive) return;
    this.#underWay.push(parcel);
    const { scheduler } = this.node;
    scheduler.backlogMost = Math.max(scheduler.backlogMost, this.#underWay.length);
    this.node.after(this.#drawDelayMs(), this.#label, () => {
      const next = this.#underWay.shift();
      if (next !== undefined) this.#deliver(next);
    });
  }

  #drawDelayMs(): number {
    const { random } = this.node.scheduler;
    const { leastMs, mostMs, stallProbability, stallMs } = this.#delay;
    return random.float(leastMs, random.chance(stallProbability) ? stallMs : mostMs);
  }

  #deliver(parcel: Parcel): void {
    if (this.#closed) return;
    if (parcel === 'close') {
      this.#shut();
      return;
    }
    const summary = summarise(parcel.message);
    if (summary !== undefined) this.node.scheduler.note(`${this.node.name} gets ${summary}`);
    const type = typeOf(parcel.message);
    if (type !== undefined && !this.node.step(`gets ${type}`)) return;
    if (this.#receive === undefined || this.#early.length > 0) this.#early.push(parcel.message);
    else this.#receive(parcel.message);
  }

  #shut(): void {
    this.#closed = true;
    this.#underWay = [];
    for (const closed of this.#onClose.splice(0))
      this.node.after(0, `${this.#label} closed`, closed);
  }

  #die(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.peer.lose();
  }

  /** The sender died: some of what it sent last is lost. */
  lose(): void {
    if (this.#closed || !this.node.alive) return;
    const { random } = this.node.scheduler;
    const kept = random.int(this.#underWay.length + 1);
    if (this.#underWay[kept - 1] !== 'close') this.#underWay.length = kept;
    this.expect('close');
  }
}

/** Of control messages. */
const typeOf = (message: unknown): string | undefined => {
  const { type, state } = (message ?? {}) as Readonly<Record<string, unknown>>; // anything may be posted
  if (typeof type !== 'string') return undefined;
  return typeof state === 'string' ? `${type} ${state}` : type;
};

/** Control messages say in the trace what they are; data does not. */
function summarise(message: unknown): string | undefined {
  if (typeof message !== 'object' || message === null || !('type' in message)) return undefined;
  const { type, attemptId, checkpointId, state } = message as Readonly<Record<string, unknown>>; // an object, as seen above
  const parts = [
    type,
    state,
    checkpointId,
    typeof attemptId === 'string' ? attemptId.slice(0, 8) : undefined,
  ];
  return parts.filter((part) => typeof part === 'string' || typeof part === 'number').join(' ');
}

/** A fresh link: one end for each node. */
export function createLink(
  a: SimNode,
  b: SimNode,
  delay: LinkDelay = THREAD_DELAY,
): { readonly a: MessageLink; readonly b: MessageLink } {
  const endA = new LinkEnd(a, `link from ${b.name}`, delay);
  const endB = new LinkEnd(b, `link from ${a.name}`, delay);
  endA.join(endB);
  endB.join(endA);
  return { a: endA, b: endB };
}
