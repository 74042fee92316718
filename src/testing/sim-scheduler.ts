/**
 * Virtual time: one queue of events, run one at a time in the order that the seed decides.
 *
 * Invariants
 *  S1  Time moves only between events and never goes back.
 *  S2  After an event everything it caused in promises has settled before the next event begins: a tick (`process.nextTick`) that is
 *      asked for from a promise job comes when no promise job is left. This is complete because nothing under simulation waits for
 *      real I/O, timers or threads: whatever waits, waits for a later event.
 *  S3  Events due at the same time run in an order drawn from the seed, so nothing can come to rely on one.
 *  S4  The trace hash covers time and label of every event that ran: the same seed and code give the same hash.
 *
 * Cost: about 0.3 µs an event for the tick, plus O(log n) for the queue. Now and then a whole turn of the event loop is taken: there Node
 * looks for rejections that nobody handles, also those that somebody would handle later.
 */
import { asError, internal, invalid } from '../base/errors.ts';
import type { Timer } from '../base/world.ts';
import { EventQueue } from './event-queue.ts';
import { hashText, SeededRandom } from './seeded-random.ts';

export interface RunOptions {
  /** Looked at after each event. */
  readonly until?: () => boolean;
  /** Runs at most this much virtual time from now. */
  readonly maxVirtualMs?: number;
  /** A livelock guard. Default 10 million. */
  readonly eventsMax?: number;
}

/**
 * Why `run` returned: the predicate held (`done`), no event is left (`quiescent`), virtual time is up (`time-limit`), too many
 * events (`event-limit`), or `stop` was called.
 */
export type RunOutcome = 'done' | 'quiescent' | 'time-limit' | 'event-limit' | 'stopped';

/** A node, as far as steps go. */
export interface Steppable {
  readonly name: string;
  crash(): void;
}

const EVENTS_MAX = 10_000_000;
const TRACE_LINES_MAX = 1_000_000;

/** A turn of the event loop costs several ticks. */
const EVENTS_PER_TURN = 16;

const tick = (): Promise<void> => new Promise((resolve) => process.nextTick(resolve));
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

export class SimScheduler {
  readonly seed: number;
  /** For scheduling decisions; scenarios fork streams of their own. */
  readonly random: SeededRandom;
  /** Uncaught errors of events that belong to no node. */
  readonly failures: Error[] = [];
  /** Told of the steps that nodes take towards the outside, each a place to kill one: see `SimNode.step`. */
  onStep: ((step: string, node: Steppable) => void) | undefined;
  /** The most messages that ever waited on one link: what backpressure has to bound. */
  backlogMost = 0;
  readonly #queue = new EventQueue();
  readonly #ties: SeededRandom;
  readonly #trace: string[] | undefined;
  #nowMs = 0;
  #sequence = 0;
  #events = 0;
  #hash = 0x811c9dc5;
  #hash2 = 0x9747b28c;
  #running = false;
  #stopped = false;

  constructor(options: { readonly seed: number; readonly trace?: boolean }) {
    this.seed = options.seed;
    this.random = new SeededRandom(options.seed);
    this.#ties = this.random.fork('ties');
    this.#trace = options.trace === true ? [] : undefined;
  }

  /** Virtual milliseconds since the beginning, with fractions. */
  get nowMs(): number {
    return this.#nowMs;
  }

  get eventsRun(): number {
    return this.#events;
  }

  /** 16 hexadecimal digits over everything that ran so far. */
  get traceHash(): string {
    const high = (this.#hash >>> 0).toString(16).padStart(8, '0');
    return high + (this.#hash2 >>> 0).toString(16).padStart(8, '0');
  }

  /** One line per event, when `trace` was asked for; the newest million. */
  get trace(): readonly string[] {
    return this.#trace ?? [];
  }

  /** Runs `callback` as an event of its own, `delayMs` from now. `label` goes into the trace. */
  after(delayMs: number, label: string, callback: () => void): Timer {
    const event = {
      atMs: this.#nowMs + Math.max(0, delayMs),
      tie: this.#ties.uint32(),
      sequence: this.#sequence++,
      label,
      cancelled: false,
      run: callback,
    };
    this.#queue.push(event);
    return {
      cancel: () => {
        event.cancelled = true;
      },
    };
  }

  /** Adds a line to the trace and the hash: something happened inside an event that a replay must repeat. */
  note(text: string): void {
    this.#record(text);
  }

  /** Ends `run` after the current event. */
  stop(): void {
    this.#stopped = true;
  }

  /** Runs events until something of `options` ends it. */
  async run(options: RunOptions = {}): Promise<RunOutcome> {
    if (this.#running)
      throw invalid('SIMULATION_RUNNING', 'run is under way; await it before the next');
    this.#running = true;
    this.#stopped = false;
    try {
      return await this.#loop(options);
    } finally {
      this.#running = false;
    }
  }

  /** Runs until `promise` settles and hands on its value. @throws what it rejects with, or `internal` SIMULATION_STUCK */
  async settle<T>(promise: Promise<T>, options: Omit<RunOptions, 'until'> = {}): Promise<T> {
    let settled = false;
    const mark = (): void => {
      settled = true;
    };
    promise.then(mark, mark);
    const outcome = await this.run({ ...options, until: () => settled });
    if (outcome === 'done') return promise;
    throw internal(
      'SIMULATION_STUCK',
      `what was waited for did not happen: ${outcome} after ${this.#events} events, at ${this.#nowMs.toFixed(3)} ms of virtual time (seed ${this.seed})`,
      { outcome, seed: this.seed },
    );
  }

  async #loop(options: RunOptions): Promise<RunOutcome> {
    const untilMs = this.#nowMs + (options.maxVirtualMs ?? Number.POSITIVE_INFINITY);
    const lastEvent = this.#events + (options.eventsMax ?? EVENTS_MAX);
    await turn();
    for (;;) {
      if (options.until?.() === true) return 'done';
      if (this.#stopped) return 'stopped';
      if (this.#events >= lastEvent) return 'event-limit';
      const next = this.#queue.peek();
      if (next === undefined || next.atMs > untilMs) {
        if (untilMs !== Number.POSITIVE_INFINITY) this.#nowMs = untilMs;
        return next === undefined ? 'quiescent' : 'time-limit';
      }
      this.#queue.pop();
      this.#nowMs = next.atMs;
      this.#events++;
      this.#record(next.label);
      try {
        next.run();
      } catch (error) {
        this.failures.push(asError(error));
      }
      await (this.#events % EVENTS_PER_TURN === 0 ? turn() : tick());
    }
  }

  #record(label: string): void {
    this.#hash = hashText(label, this.#hash);
    this.#hash2 = Math.imul(this.#hash2 ^ (this.#nowMs * 1e6), 0x5bd1e995) ^ (this.#hash >>> 13);
    if (this.#trace === undefined) return;
    this.#trace.push(`${this.#nowMs.toFixed(6)} ${label}`);
    if (this.#trace.length > TRACE_LINES_MAX) this.#trace.splice(0, TRACE_LINES_MAX / 10);
  }
}
