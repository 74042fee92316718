/**
 * A simulated network of byte streams, with the failures of TCP seen from above.
 *
 * Bytes of a connection arrive in order or not at all; message boundaries are not kept: what was sent may arrive in pieces or
 * joined. A lost packet shows as delay (it is sent again). A cut direction delivers nothing until it heals; if it stays cut for
 * `resetAfterMs` while bytes wait, both ends break with `unavailable` CONNECTION_RESET, each once it can notice.
 *
 * Addresses: a node is reached by its `host`; the loopback names mean the node itself.
 */
import { MillraceError } from '../base/errors.ts';
import type { Connection, Listener, Network } from '../base/world.ts';
import type { SimNode } from './sim-node.ts';
import type { SimScheduler } from './sim-scheduler.ts';
import type { SeededRandom } from './seeded-random.ts';

export interface NetworkFaults {
  readonly latencyLeastMs: number;
  readonly latencyMostMs: number;
  /** A packet is lost and sent again after `retransmitMs`. */
  readonly lossProbability: number;
  readonly retransmitMs: number;
  /** A connection that cannot deliver for this long breaks. */
  readonly resetAfterMs: number;
  /** A connection attempt that gets no answer fails after this long. */
  readonly connectTimeoutMs: number;
}

export const CALM_NETWORK: NetworkFaults = {
  latencyLeastMs: 0.05,
  latencyMostMs: 1,
  lossProbability: 0,
  retransmitMs: 200,
  resetAfterMs: 15_000,
  connectTimeoutMs: 5000,
};

const LOOPBACK: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '0.0.0.0', '::1', '::']);
const EPHEMERAL_PORT_FIRST = 32_768;
/** A packet that waits for a cut to heal is looked at again this often. */
const RETRY_MS = 50;

interface Listening {
  readonly node: SimNode;
  readonly accept: (connection: Connection) => void;
}

const broken = (code: string, message: string): MillraceError =>
  new MillraceError('unavailable', code, message);

/** All listeners, connections and cuts of one simulation. */
export class SimNetwork {
  readonly scheduler: SimScheduler;
  readonly random: SeededRandom;
  faults: NetworkFaults;
  readonly #listeners = new Map<string, Listening>();
  readonly #cut = new Set<string>();
  #nextPort = EPHEMERAL_PORT_FIRST;

  constructor(scheduler: SimScheduler, faults: NetworkFaults = CALM_NETWORK) {
    this.scheduler = scheduler;
    this.random = scheduler.random.fork('network');
    this.faults = faults;
  }

  /** The network as `node` uses it. */
  of(node: SimNode): Network {
    return {
      listen: (host, port, accept) => this.#listen(node, port, accept),
      connect: (host, port, signal) =>
        this.#connect(node, LOOPBACK.has(host) ? node.host : host, port, signal),
    };
  }

  /** Nothing passes from `from` to `to` until healed; the other way is not concerned. */
  cutOneWay(from: string, to: string): void {
    this.#cut.add(`${from}>${to}`);
    this.scheduler.note(`network cut ${from} > ${to}`);
  }

  cut(a: string, b: string): void {
    this.cutOneWay(a, b);
    this.cutOneWay(b, a);
  }

  heal(a: string, b: string): void {
    this.#cut.delete(`${a}>${b}`);
    this.#cut.delete(`${b}>${a}`);
    this.scheduler.note(`network healed ${a} ${b}`);
  }

  healAll(): void {
    this.#cut.clear();
    this.scheduler.note('network healed');
  }

  passes(from: string, to: string): boolean {
    return from === to || !this.#cut.has(`${from}>${to}`);
  }

  delayMs(): number {
    const { latencyLeastMs, latencyMostMs, lossProbability, retransmitMs } = this.faults;
    const latency = this.random.float(latencyLeastMs, latencyMostMs);
    return this.random.chance(lossProbability) ? latency + retransmitMs : latency;
  }

  async #listen(
    node: SimNode,
    wanted: number,
    accept: (connection: Connection) => void,
  ): Promise<Listener> {
    const port = wanted === 0 ? this.#nextPort++ : wanted;
    const address = `${node.host}:${port}`;
    const existing = this.#listeners.get(address);
    if (existing?.node.alive === true)
      throw broken('LISTEN_FAILED', `cannot listen on ${address}: the port is taken`);
    const listening = { node, accept };
    this.#listeners.set(address, listening);
    const stop = (): void => {
      if (this.#listeners.get(address) === listening) this.#listeners.delete(address);
    };
    node.onDeath(stop);
    return {
      port,
      close: async () => stop(),
    };
  }

  #connect(
    node: SimNode,
    host: string,
    port: number,
    signal: AbortSignal | undefined,
  ): Promise<Connection> {
    const address = `${host}:${port}`;
    return new Promise((resolve, reject) => {
      let settled = false;
      const settle = (end: StreamEnd | undefined, why = ''): void => {
        if (settled) {
          end?.close();
          return;
        }
        settled = true;
        timeout.cancel();
        if (end !== undefined) resolve(end);
        else reject(broken('CONNECT_FAILED', `cannot connect to ${address}: ${why}`));
      };
      const timeout = node.after(this.faults.connectTimeoutMs, `connect ${address} timeout`, () =>
        settle(undefined, 'no answer'),
      );
      signal?.addEventListener('abort', () => settle(undefined, 'aborted'), { once: true });
      if (!this.passes(node.host, host)) return;
      this.scheduler.after(this.delayMs(), `connect ${node.name} > ${address}`, () =>
        this.#arrive(node, address, settle),
      );
    });
  }

  /** The attempt has reached the host. */
  #arrive(
    node: SimNode,
    address: string,
    settle: (end: StreamEnd | undefined, why?: string) => void,
  ): void {
    const listening = this.#listeners.get(address);
    const host = address.slice(0, address.lastIndexOf(':'));
    if (!this.passes(host, node.host)) return;
    if (listening === undefined) {
      node.after(this.delayMs(), `refused by ${address}`, () => settle(undefined, 'refused'));
      return;
    }
    const near = new StreamEnd(this, node);
    const far = new StreamEnd(this, listening.node);
    near.peer = far;
    far.peer = near;
    listening.node.after(0, `accept from ${node.name}`, () => listening.accept(far));
    node.after(this.delayMs(), `connected to ${address}`, () => settle(near));
  }
}

/** One end of a connection. It pulls nothing: the sender's end pushes into the receiver's queue, oldest first. */
class StreamEnd implements Connection {
  readonly node: SimNode;
  readonly #network: SimNetwork;
  peer!: StreamEnd;
  /** Bytes on their way to this end; null ends the stream. */
  #incoming: (Uint8Array | null)[] = [];
  #arriving = false;
  #stuckSinceMs: number | undefined;
  #receive: ((bytes: Uint8Array) => void) | undefined;
  #onClose: ((error?: Error) => void)[] = [];
  #closed: { readonly error: Error | undefined } | undefined;

  constructor(network: SimNetwork, node: SimNode) {
    this.#network = network;
    this.node = node;
    node.onDeath(() => {
      if (this.#closed === undefined) this.peer.push(null);
      this.#closed = { error: undefined };
    });
  }

  send(bytes: Uint8Array): void {
    if (this.#closed === undefined && this.node.alive) this.peer.push(new Uint8Array(bytes));
  }

  onData(receive: (bytes: Uint8Array) => void): void {
    this.#receive = receive;
    this.#arrive();
  }

  onClose(closed: (error?: Error) => void): void {
    const already = this.#closed;
    if (already === undefined) this.#onClose.push(closed);
    else this.node.after(0, 'connection closed', () => closed(already.error));
  }

  close(): void {
    if (this.#closed !== undefined) return;
    this.peer.push(null);
    this.#shut(undefined);
  }

  push(bytes: Uint8Array | null): void {
    if (this.#closed !== undefined || !this.node.alive) return;
    this.#incoming.push(bytes);
    this.#arrive();
  }

  /** Schedules the arrival of what comes next; one at a time, so order holds whatever the delays. */
  #arrive(): void {
    if (this.#arriving || this.#incoming.length === 0) return;
    this.#arriving = true;
    const open = this.#network.passes(this.peer.node.host, this.node.host);
    this.node.after(
      open ? this.#network.delayMs() : RETRY_MS,
      `data from ${this.peer.node.name}`,
      () => {
        this.#arriving = false;
        this.#take(open);
      },
    );
  }

  #take(open: boolean): void {
    if (this.#closed !== undefined) return;
    if (!open || !this.#network.passes(this.peer.node.host, this.node.host)) {
      this.#stuck();
      return;
    }
    this.#stuckSinceMs = undefined;
    if (this.#incoming[0] === null) {
      this.#shut(undefined);
      return;
    }
    if (this.#receive === undefined) return;
    this.#receive(this.#nextSegment());
    this.#arrive();
  }

  #stuck(): void {
    const nowMs = this.#network.scheduler.nowMs;
    this.#stuckSinceMs ??= nowMs;
    if (nowMs - this.#stuckSinceMs < this.#network.faults.resetAfterMs) {
      this.#arrive();
      return;
    }
    const error = broken('CONNECTION_RESET', `connection to ${this.peer.node.name} broke`);
    this.peer.#shut(error);
    this.#shut(error);
  }

  /** All that waits up to the end of the stream, or a random part of it: boundaries are not kept. */
  #nextSegment(): Uint8Array {
    const { random } = this.#network;
    const first = this.#incoming.shift()!; // callers have seen that it is there
    if (first.length > 1 && random.chance(0.2)) {
      const at = random.between(1, first.length - 1);
      this.#incoming.unshift(first.subarray(at));
      return first.subarray(0, at);
    }
    const second = this.#incoming[0];
    if (second === null || second === undefined || !random.chance(0.2)) return first;
    this.#incoming.shift();
    return Buffer.concat([first, second]);
  }

  #shut(error: Error | undefined): void {
    if (this.#closed !== undefined) return;
    this.#closed = { error };
    this.#incoming = [];
    for (const closed of this.#onClose.splice(0))
      this.node.after(0, 'connection closed', () => closed(error));
  }
}
