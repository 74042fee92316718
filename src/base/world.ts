/**
 * The outside world, as interfaces.
 *
 * Nothing in the engine reads the clock, sets a timer, draws a random number, opens a socket or starts a
 * thread except through a `World`. The real one is `base/real-world.ts`; the simulated one, with virtual
 * time and a seeded scheduler, is `testing/sim-world.ts`. Storage is an interface of its own
 * (`storage/object-store.ts`). `scripts/tidy.ts` guards the rule.
 */

export interface Clock {
  /** Wall clock, milliseconds since the Unix epoch. May jump; never used for fencing or ordering. */
  wallMs(): number;
  /** Monotonic milliseconds from an arbitrary origin, with fractions. */
  monotonicMs(): number;
}

export interface Timer {
  /** Idempotent. After it returns the callback does not run. */
  cancel(): void;
}

export interface Timers {
  /** Runs `callback` once, not before `delayMs` milliseconds have passed. Does not keep the process alive by itself. */
  after(delayMs: number, callback: () => void): Timer;
  /** Runs `callback` in a later turn of the event loop, after I/O that is ready. */
  soon(callback: () => void): void;
}

export interface Random {
  /** Uniform in [0, 1). */
  next(): number;
}

export interface Ids {
  /** A fresh identifier of 32 hexadecimal digits, unique across processes. */
  next(): string;
}

/** One end of an ordered, reliable, message-preserving link between threads, processes or simulated nodes. */
export interface MessageLink {
  /** Structured-cloneable `message`; buffers listed in `transfer` change owner and must not be touched afterwards. */
  post(message: unknown, transfer?: readonly ArrayBuffer[]): void;
  /** One receiver; messages that arrived earlier are delivered to it first, in order. */
  onMessage(receive: (message: unknown) => void): void;
  /** Runs once when the other side is gone, or after `close`. */
  onClose(closed: () => void): void;
  close(): void;
}

/** A started worker, seen from the process that started it: a thread today, a process tomorrow. */
export interface WorkerHandle {
  readonly name: string;
  readonly control: MessageLink;
  /** Settles when the worker is gone, however it ended; `undefined` is a clean exit. */
  readonly exited: Promise<Error | undefined>;
  /** Stops it at once, without its cooperation. */
  terminate(): Promise<void>;
}

/** The worker's own side. */
export interface WorkerHost {
  readonly name: string;
  /** What `Threads.start` was given. */
  readonly data: unknown;
  readonly control: MessageLink;
  /** Called with a link to another worker when `Threads.connect` names this one; earlier links are delivered first. */
  onPeer(connected: (peer: string, link: MessageLink) => void): void;
}

export interface Threads {
  /** Starts a worker that runs the program this process runs, in the worker role. `data` must be structured-cloneable. */
  start(name: string, data: unknown): WorkerHandle;
  /** Gives both workers one end of a fresh link: the data plane between them, past the starting process. */
  connect(a: WorkerHandle, b: WorkerHandle): void;
}

export interface Connection {
  send(bytes: Uint8Array): void;
  onData(receive: (bytes: Uint8Array) => void): void;
  onClose(closed: (error?: Error) => void): void;
  close(): void;
}

export interface Listener {
  readonly port: number;
  close(): Promise<void>;
}

export interface Network {
  /** `port` 0 takes a free one. */
  listen(host: string, port: number, accept: (connection: Connection) => void): Promise<Listener>;
  connect(host: string, port: number, signal?: AbortSignal): Promise<Connection>;
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

export interface Logger {
  log(level: LogLevel, message: string, fields?: Readonly<Record<string, unknown>>): void;
}

export interface World {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly ids: Ids;
  readonly network: Network;
  readonly logger: Logger;
  /** Writes a line to standard output. */
  print(line: string): void;
}
