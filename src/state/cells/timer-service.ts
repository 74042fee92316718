/**
 * Timers of one service: the entries, by key, in tables that snapshots capture like any state; and their order, in queues that are rebuilt
 * on restore.
 */
import type { InternalTimerService, TimerTarget } from '../keyed-state-backend.ts';
import { type TimerCell, type TimerTable, timestampOf } from './cell-table.ts';
import type { KeyContext } from './key-context.ts';
import { TimerQueue } from './timer-queue.ts';

export type TimerDomain = 'event' | 'processing';

/** Timers prepared together when the first of them has to wait. */
const TIMERS_AHEAD = 2048;

export interface RestoredTimer {
  readonly key: unknown;
  readonly keyGroup: number;
  readonly namespace: unknown;
  readonly timestamp: number;
}

export interface TimerServiceParams<N, T extends TimerTable> {
  readonly context: KeyContext;
  readonly target: TimerTarget<N>;
  readonly identify: (namespace: unknown) => unknown;
  readonly tables: Readonly<Record<TimerDomain, T>>;
  readonly setKey: (key: unknown) => void;
  readonly identifyKey: (key: unknown) => unknown;
  readonly watermark: () => number;
  /** All state is resident, always. */
  readonly resident: boolean;
}

export class CellTimerService<N, T extends TimerTable> implements InternalTimerService<N> {
  readonly tables: Readonly<Record<TimerDomain, T>>;
  readonly #params: TimerServiceParams<N, T>;
  readonly #queues: Readonly<Record<TimerDomain, TimerQueue<TimerCell>>>;

  /** Timers have to be prepared: state may be elsewhere, and what they fire reads some. */
  readonly #prepares: boolean;

  constructor(params: TimerServiceParams<N, T>) {
    this.#params = params;
    this.#prepares = params.resident !== true && params.target.prepareTimer !== undefined;
    this.tables = params.tables;
    const divides = !params.resident;
    this.#queues = { event: new TimerQueue({ divides }), processing: new TimerQueue({ divides }) };
  }

  get currentWatermark(): number {
    return this.#params.watermark();
  }

  registerEventTimeTimer(namespace: N, timestamp: number): void {
    this.#register('event', namespace, timestamp);
  }

  deleteEventTimeTimer(namespace: N, timestamp: number): void {
    this.#delete('event', namespace, timestamp);
  }

  registerProcessingTimeTimer(namespace: N, timestamp: number): void {
    this.#register('processing', namespace, timestamp);
  }

  deleteProcessingTimeTimer(namespace: N, timestamp: number): void {
    this.#delete('processing', namespace, timestamp);
  }

  forEachTimer(
    domain: TimerDomain,
    visit: (key: unknown, namespace: N, timestamp: number) => void,
  ): void {
    for (const cell of this.tables[domain].cells())
      visit(cell.key, cell.namespace as N, timestampOf(cell)); // namespaces of this service
  }

  /** When the earliest timer is due, at the earliest; +Infinity for none. */
  next(domain: TimerDomain): number {
    const { first } = this.#queues[domain];
    return first === Number.POSITIVE_INFINITY ? this.tables[domain].headEnd : first;
  }

  /**
   * Fires the earliest live timer with timestamp <= `until`. 'load': it is not in memory, or what it reads is not; it and the next ones
   * have noted what they need.
   */
  fireNext(domain: TimerDomain, until: number): 'fired' | 'none' | 'load' {
    const timer = this.#queues[domain].peek(until);
    if (timer === undefined) return this.#lacksHead(domain, until) ? 'load' : 'none';
    if (this.#prepares && !this.#prepare(timer)) {
      this.#queues[domain].ahead(until, TIMERS_AHEAD, (next) => this.#prepare(next));
      return 'load';
    }
    this.#queues[domain].poll(until);
    this.#params.setKey(timer.key);
    this.tables[domain].drop(timer);
    const namespace = timer.namespace as N; // registered by this service
    const timestamp = timestampOf(timer);
    if (domain === 'event') this.#params.target.onEventTime(timestamp, namespace);
    else this.#params.target.onProcessingTime(timestamp, namespace);
    return 'fired';
  }

  /** Whether the next timers are elsewhere, and may be due. */
  #lacksHead(domain: TimerDomain, until: number): boolean {
    const table = this.tables[domain];
    const { headEnd } = table;
    if (this.#queues[domain].first !== Number.POSITIVE_INFINITY) return false;
    if (headEnd === Number.POSITIVE_INFINITY || headEnd > until) return false;
    table.noteHead!();
    return true;
  }

  #prepare(timer: TimerCell): boolean {
    this.#params.setKey(timer.key);
    return this.#params.target.prepareTimer!(timestampOf(timer), timer.namespace as N); // as above
  }

  /** Takes the latest timers out of the queue, about `count`; their cells stay. */
  takeLatest(domain: TimerDomain, count: number): ReturnType<TimerQueue<TimerCell>['takeLatest']> {
    return this.#queues[domain].takeLatest(count);
  }

  /** Adds a timer that was stored. */
  restore(domain: TimerDomain, { key, keyGroup, namespace, timestamp }: RestoredTimer): void {
    const timer = this.tables[domain].restoreCell(this.#params.identifyKey(key), {
      key,
      keyGroup,
      namespace,
      namespaceId: this.#params.identify(namespace),
      value: timestamp,
    });
    this.#queues[domain].add(timer, timestamp);
  }

  /** @hot A timer at +Infinity never fires and is not kept. */
  #register(domain: TimerDomain, namespace: N, timestamp: number): void {
    if (timestamp === Number.POSITIVE_INFINITY) return;
    const table = this.tables[domain];
    if (timestamp >= table.headEnd && table.addBeyond!(namespace, timestamp)) return;
    const namespaceId = this.#params.identify(namespace);
    if (find(table, namespaceId, timestamp) !== undefined) return;
    this.#queues[domain].add(table.add(namespace, namespaceId, timestamp), timestamp);
  }

  #delete(domain: TimerDomain, namespace: N, timestamp: number): void {
    const table = this.tables[domain];
    if (timestamp >= table.headEnd && table.dropBeyond!(namespace, timestamp)) return;
    const timer = find(table, this.#params.identify(namespace), timestamp);
    if (timer === undefined) return;
    table.drop(timer);
    this.#queues[domain].dropOne();
  }
}

/** @hot That timer of the current key. */
function find(table: TimerTable, namespaceId: unknown, timestamp: number): TimerCell | undefined {
  let cell = table.head();
  while (
    cell !== undefined &&
    (cell.namespaceId !== namespaceId || timestampOf(cell) !== timestamp)
  )
    cell = cell.next;
  return cell;
}
