/**
 * Prepares the server and hands out the slots: once in the life of a job.
 *
 * Invariants
 *  E1  The snapshot says whether slots have been handed out, and changes in the same turn in which they are.
 *  E2  A slot is handed out when every transaction that was open when it was made is over: the tables' snapshots, which are newer, then see
 *      all that the slot's stream does not have.
 */
import type { JsonValue } from '../../src/base/json.ts';
import type { EnumeratorContext, SplitEnumerator, SplitState } from '../../src/connector/source.ts';
import type { Database } from './database.ts';
import { LastingSession } from './lasting-session.ts';
import { asSourceSplit } from './postgres-split.ts';
import {
  checkServer,
  ensurePublication,
  ensureSlot,
  type SourceNeeds,
  systemOf,
} from './source-preparation.ts';

export interface EnumeratorOptions extends SourceNeeds {
  readonly database: Database;
  /** By slot: the tables that it is for. */
  readonly slots: readonly { readonly slot: string; readonly tables: readonly string[] }[];
  readonly snapshot: boolean;
  /** No slot will follow: readers end where the log is when they open. */
  readonly untilNow: boolean;
  readonly persistMs: number;
}

interface Handed {
  readonly assigned: boolean;
}

const PAUSE_MS = 50;

export class PostgresEnumerator implements SplitEnumerator {
  readonly #options: EnumeratorOptions;
  readonly #context: EnumeratorContext;
  readonly #session: LastingSession;
  #assigned: boolean;
  #closed = false;

  constructor(
    options: EnumeratorOptions,
    context: EnumeratorContext,
    restored: JsonValue | undefined,
  ) {
    this.#options = options;
    this.#context = context;
    const { database, persistMs } = options;
    this.#session = new LastingSession({
      ...{ database, persistMs, applicationName: 'millrace enumerator', services: context },
    });
    this.#assigned = (restored as unknown as Handed | undefined)?.assigned ?? false; // written by snapshot
  }

  async start(): Promise<void> {
    const { untilNow } = this.#options;
    if (!this.#assigned) {
      const splits = await this.#prepare();
      if (this.#closed) return;
      for (const [i, split] of splits.entries())
        this.#context.assign(i % this.#context.parallelism, [split]);
      this.#assigned = true; // E1
    }
    if (untilNow) this.#context.noMoreSplits();
  }

  requestSplit(): void {}

  snapshot(): JsonValue {
    return { assigned: this.#assigned };
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#session.close();
  }

  async #prepare(): Promise<readonly SplitState[]> {
    const { database, slots, snapshot } = this.#options;
    const session = this.#session;
    await session.persist((open) => checkServer(open, this.#options));
    await session.persist((open) => ensurePublication(open, this.#options));
    const system = await session.persist(() => systemOf(database));
    const starts = new Map<string, string>();
    for (const { slot } of slots)
      starts.set(
        slot,
        await session.persist((open) => ensureSlot(open, slot, this.#context.logger)),
      );
    await this.#untilOlderAreOver();
    return slots.map(({ slot, tables }) => ({
      split: asSourceSplit({
        ...{ slot, tables, system, snapshot },
        startLsn: starts.get(slot)!, // set above
      }),
      position: undefined,
    }));
  }

  /** E2 */
  async #untilOlderAreOver(): Promise<void> {
    const [row] = await this.#session.persist((open) =>
      open.query('SELECT pg_snapshot_xmax(pg_current_snapshot())::text AS xmax'),
    );
    const xmax = row?.['xmax'] ?? '0';
    for (let told = false; !this.#closed; told = true) {
      const [now] = await this.#session.persist((open) =>
        open.query('SELECT (pg_snapshot_xmin(pg_current_snapshot()) >= $1::xid8)::text AS over', [
          xmax,
        ]),
      );
      if (now?.['over'] === 'true') return;
      if (!told)
        this.#context.logger.log('info', 'waits for transactions that are open on the server');
      await new Promise<void>((resolve) => this.#context.timers.after(PAUSE_MS, () => resolve()));
    }
  }
}
