/**
 * The timers of one forst backend: services over tables whose heads lie in memory, under one limit.
 *
 * A head that is nearly used up grows by the next timers, which were read ahead in the background as bytes, many at a time, since reading
 * looks at every key group. One that is used up and whose successors may be due is waited for by the backend's `load`. When timers
 * outgrow the limit, what was read ahead is forgotten, then the latest timers of the largest head leave.
 */
import { ByteReader } from '../../base/bytes.ts';
import { invalid } from '../../base/errors.ts';
import type { LsmTree } from '../../lsm/lsm-tree.ts';
import { keyCodec, keyIdentity } from '../../types/key-codec.ts';
import type { Schema } from '../../types/schema.ts';
import { fireTimers } from '../cells/fire-timers.ts';
import type { CellContext } from '../cells/cell-context.ts';
import { CellTimerService, type RestoredTimer, type TimerDomain } from '../cells/timer-service.ts';
import type { KeyedBackendParams, TimerProgress, TimerTarget } from '../keyed-state-backend.ts';
import type { ForstCell } from './forst-cell.ts';
import { parseStateKey, type StateKeyWriter, timerTime } from './state-key.ts';
import type { StateRegistry } from './state-registry.ts';
import { type NextTimers, readNextTimers } from './timer-head.ts';
import { ForstTimerTable, TIMER_BYTES } from './timer-table.ts';
import type { WriteBack } from './write-back.ts';

/** Timers written out in one go: a few ms. More of those that are too many, so that nobody registers faster than they leave. */
const SPILL_MOST = 2048;
const SPILL_SHARE = 1 / 16;
/** Timers decoded in one go: about 5 ms. */
const REFILL_MOST = 2048;
/** Timers read in one go, as far as half of their table's share of the limit is enough for them as bytes. */
const STAGE_MOST = 1 << 18;
/** However few timers memory has room for, so much may be read ahead: a read for each timer would take longer than timers take to come. */
const STAGE_LEAST_BYTES = 1024;
const DOMAINS = ['event', 'processing'] as const;

interface TimerStates {
  readonly service: CellTimerService<unknown, ForstTimerTable>;
  readonly domain: TimerDomain;
  readonly table: ForstTimerTable;
  readonly number: number;
  readonly decode: (bytes: Uint8Array) => RestoredTimer;
  reading: Promise<void> | undefined;
  /** The last reading ahead of need has failed: the next one waits for need. */
  failed: boolean;
}

export interface ForstTimersParams {
  readonly backend: KeyedBackendParams;
  readonly context: CellContext<ForstCell>;
  readonly tree: LsmTree;
  readonly writeBack: WriteBack;
  readonly registry: StateRegistry;
  readonly keysOf: (state: number, namespaceSchema: Schema<unknown>) => StateKeyWriter;
  readonly watermark: () => number;
  /** Timers that memory may hold now. */
  readonly most: () => number;
}

export class ForstTimers {
  readonly #params: ForstTimersParams;
  readonly #fresh: boolean;
  readonly #services = new Map<string, CellTimerService<unknown, ForstTimerTable>>();
  readonly #all: TimerStates[] = [];
  readonly #abort = new AbortController();

  constructor(params: ForstTimersParams) {
    this.#params = params;
    this.#fresh = params.tree.version.runs.length === 0;
  }

  /** Timers in memory. */
  get size(): number {
    return this.#all.reduce((sum, { table }) => sum + table.size, 0);
  }

  get bytes(): number {
    return this.#all.reduce((sum, { table }) => sum + table.bytes, 0);
  }

  /** @throws `invalid` DUPLICATE_STATE */
  register<N>(
    name: string,
    namespaceSchema: Schema<N>,
    target: TimerTarget<N>,
  ): CellTimerService<N, ForstTimerTable> {
    if (this.#services.has(name))
      throw invalid('DUPLICATE_STATE', `timer service "${name}" is registered twice`);
    const { backend, context, watermark } = this.#params;
    const tables = {
      event: this.#table(name, 'event', namespaceSchema),
      processing: this.#table(name, 'processing', namespaceSchema),
    };
    const service = new CellTimerService<N, ForstTimerTable>({
      context,
      target,
      identify: keyIdentity(namespaceSchema),
      tables: { event: tables.event.table, processing: tables.processing.table },
      setKey: (key) => context.set(key),
      identifyKey: keyIdentity(backend.keySchema),
      watermark,
      resident: false,
    });
    const erased = service as CellTimerService<unknown, ForstTimerTable>; // namespaces are opaque to the backend
    this.#services.set(name, erased);
    const decode = decoder(backend.keySchema, namespaceSchema);
    for (const domain of DOMAINS)
      this.#all.push({
        ...tables[domain],
        service: erased,
        domain,
        decode,
        reading: undefined,
        failed: false,
      });
    return service;
  }

  fire(domain: TimerDomain, until: number, limit: number): TimerProgress {
    return fireTimers(this.#services, domain, until, limit);
  }

  /** When the first timer may be due. */
  next(domain: TimerDomain): number {
    let next = Number.POSITIVE_INFINITY;
    for (const service of this.#services.values()) next = Math.min(next, service.next(domain));
    return next;
  }

  /** Reads the heads that are waited for. */
  async load(signal: AbortSignal): Promise<void> {
    await Promise.all(
      this.#all.map(async (states) => {
        if (!states.table.needed) return;
        // One that began ahead of need may fail; then this one counts.
        await states.reading?.catch(() => {});
        const { table } = states;
        if (table.needed && !table.staged) await this.#read(states, signal);
        if (table.needed && table.staged) this.#refill(states);
      }),
    );
  }

  /** Keeps the limit, and reads ahead. */
  trim(): void {
    const most = this.#params.most();
    if (this.size > most || this.bytes > this.#bytesMost(most)) this.#shrink(most);
    for (const states of this.#all) {
      const { table, reading, failed } = states;
      if (table.end === undefined || reading !== undefined) continue;
      if (4 * table.size > this.#share(most)) continue;
      if (table.staged) this.#refill(states);
      else if (!failed)
        this.#read(states, this.#abort.signal).catch(() => {
          states.failed = true;
        });
    }
  }

  close(): void {
    this.#abort.abort();
  }

  #table(
    name: string,
    domain: TimerDomain,
    namespaceSchema: Schema<unknown>,
  ): Pick<TimerStates, 'number' | 'table'> {
    const { registry, context, tree, writeBack, keysOf } = this.#params;
    const { number } = registry.register({
      name,
      kind: `${domain}-timers`,
      schema: undefined,
      namespaceSchema,
      userKeySchema: undefined,
    });
    const keys = keysOf(number, namespaceSchema);
    const table = new ForstTimerTable({ context, tree, writeBack, keys, fresh: this.#fresh });
    return { number, table };
  }

  /** Of the limit, for a table that has timers. */
  #share(most: number): number {
    const tables = this.#all.filter(({ table }) => table.size > 0 || table.end !== undefined);
    return most / Math.max(1, tables.length);
  }

  #bytesMost(most: number): number {
    return most * TIMER_BYTES + this.#all.length * STAGE_LEAST_BYTES;
  }

  #shrink(most: number): void {
    const excess = this.size - most;
    const until = most + Math.max(0, excess - Math.max(SPILL_MOST, excess * SPILL_SHARE));
    while (this.size > until && this.#spill(most));
    if (this.bytes <= this.#bytesMost(most)) return;
    for (const { table } of this.#all) if (table.staged) table.dropStage();
  }

  /** False: nothing leaves: beyond the end of the largest head is being read, so that it may not move. */
  #spill(most: number): boolean {
    const { service, domain, table, reading } = this.#all.reduce((a, b) =>
      b.table.size > a.table.size ? b : a,
    );
    if (reading !== undefined) return false;
    // What lies between the new end and the old one would be missing there.
    table.dropStage();
    const count = Math.max(1, Math.min(SPILL_MOST, most >> 3));
    const { timers, end } = service.takeLatest(domain, count);
    const before = table.end;
    // A place within a key group that was the end remains it, where nothing left.
    const unchanged =
      before?.timestamp === end.timestamp && before.keyGroup === end.keyGroup ? before : undefined;
    table.spill(timers, unchanged ?? { ...end, bytes: undefined });
    return timers.length > 0;
  }

  #refill({ table, service, domain, decode }: TimerStates): void {
    // A quarter of the limit is left of the head, half is what was read ahead.
    const count = Math.max(1, Math.min(REFILL_MOST, this.#share(this.#params.most()) >> 3));
    table.takeStaged(count, (bytes) => service.restore(domain, decode(bytes)));
  }

  #read(states: TimerStates, signal: AbortSignal): Promise<void> {
    states.reading = this.#readAhead(states, signal).finally(() => {
      states.reading = undefined;
    });
    return states.reading;
  }

  async #readAhead(states: TimerStates, signal: AbortSignal): Promise<void> {
    const { table, number } = states;
    const { tree, backend, most } = this.#params;
    const { keyGroupRange, yieldToLoop } = backend;
    let stage: NextTimers | undefined;
    table.beginReading();
    try {
      stage = await readNextTimers({
        tree,
        state: number,
        keyGroups: keyGroupRange,
        after: table.end!, // only where there is more
        most: STAGE_MOST,
        bytesMost: Math.max((this.#share(most()) / 2) * TIMER_BYTES, STAGE_LEAST_BYTES),
        yieldToLoop,
        signal,
      });
      states.failed = false;
    } finally {
      table.endReading(stage);
    }
  }
}

function decoder(
  keySchema: Schema<unknown>,
  namespaceSchema: Schema<unknown>,
): TimerStates['decode'] {
  const keys = keyCodec(keySchema);
  const namespaces = keyCodec(namespaceSchema);
  return (bytes) => {
    const parts = parseStateKey(bytes);
    return {
      key: keys.decode(new ByteReader(parts.key)),
      keyGroup: parts.keyGroup,
      // In the place of the user key.
      namespace: namespaces.decode(new ByteReader(parts.userKey)),
      timestamp: timerTime(bytes),
    };
  };
}
