/** Results in a table, as anybody sees them who looks at a moment of their choice. */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import type { PostgresService } from '../../scripts/services/postgres.ts';
import { STALL_MS, type Results, type Total } from '../kafka/result-contract.ts';
import { TestServer } from './postgres-fixture.ts';

const LOOK_INTERVAL_MS = 250;

/** `whole`: the rows of a key are its first counts, each once, and were inserted in this order. */
const look = (table: string): string =>
  `SELECT key, count(*) AS rows, bool_and(count = place) AS whole, (array_agg(sum ORDER BY id DESC))[1] AS sum FROM (SELECT id, key, count, sum, row_number() OVER (PARTITION BY key ORDER BY id) AS place FROM ${table}) AS r GROUP BY key`;

export class TableResults implements Results {
  readonly #server: TestServer;
  readonly #table: string;
  readonly jobArgs: readonly string[];

  private constructor(server: TestServer, table: string) {
    this.#server = server;
    this.#table = table;
    this.jobArgs = ['--output', table, '--postgres', String(server.options.port)];
  }

  /** Nothing in the table keeps a result from being there twice. */
  static async create(service: PostgresService): Promise<TableResults> {
    const server = new TestServer(service.options);
    const table = await server.table(
      'id bigint GENERATED ALWAYS AS IDENTITY, key text, count integer, sum bigint',
    );
    return new TableResults(server, table);
  }

  async watch(messages: number, signal: AbortSignal): Promise<void> {
    const last = new Map<string, number>();
    let seen = 0;
    let grewMs = performance.now();
    while (seen < messages && !signal.aborted) {
      for (const [key, { count }] of await this.#look()) {
        assert.ok(count >= (last.get(key) ?? 0), `results of ${key} have gone`);
        last.set(key, count);
      }
      const now = [...last.values()].reduce((sum, count) => sum + count, 0);
      if (now > seen) grewMs = performance.now();
      seen = now;
      assert.ok(seen <= messages, `${seen} results of ${messages} messages`);
      assert.ok(
        performance.now() - grewMs < STALL_MS,
        `no result for ${STALL_MS} ms; ${seen} seen`,
      );
      await delay(LOOK_INTERVAL_MS);
    }
  }

  async verify(expected: ReadonlyMap<string, Total>, messages: number): Promise<void> {
    const totals = await this.#look();
    assert.deepEqual(new Map([...totals].sort()), new Map([...expected].sort()));
    const rows = [...totals.values()].reduce((sum, { count }) => sum + count, 0);
    assert.equal(rows, messages, 'results in the table');
    await this.#server.close();
  }

  /** What is committed at this moment, by key. A server that is away is asked again. */
  async #look(): Promise<Map<string, Total>> {
    for (;;) {
      try {
        const rows = await this.#server.sql(look(this.#table));
        return new Map(
          rows.map(({ key, rows: count, whole, sum }) => {
            assert.equal(whole, 't', `the results of ${key} are doubled, missing or out of order`);
            return [key ?? '', { count: Number(count), sum: Number(sum) }];
          }),
        );
      } catch (error) {
        if ((error as { kind?: unknown }).kind !== 'unavailable') throw error; // any error has one or not
        await delay(LOOK_INTERVAL_MS);
      }
    }
  }
}
