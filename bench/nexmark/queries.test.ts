/** Every query, as a program at parallelism 1 and 2 and as a loop, yields what the reference says. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { environment } from '../../src/index.ts';
import { PipelineHarness } from '../../src/testing/pipeline-harness.ts';
import { TestSource } from '../../src/testing/test-source.ts';
import { type Event, eventSchema } from './model.ts';
import { QUERIES, type Query } from './queries.ts';
import { q10, q10Sink } from './queries/q10.ts';
import { q12 } from './queries/q12.ts';
import { collecting, events, eventsOf, run } from './query-harness.ts';
import { referenceOf } from './reference.ts';
import { settled } from './settled.ts';

const dir = mkdtempSync(join(tmpdir(), 'millrace-nexmark-'));
after(() => rmSync(dir, { recursive: true }));

function loop(query: Query, name: string): readonly object[] {
  const results: object[] = [];
  query.loop(events, (result) => results.push({ ...result }), join(dir, name));
  return results;
}

/** Where records tie, which comes first depends on how splits interleave: then only these fields are compared. */
const TIES: Readonly<Record<string, readonly string[]>> = {
  q9: ['id', 'price', 'bidDateTime'],
  q18: ['bidder', 'auction', 'dateTime'],
  q19: ['auction', 'rank', 'price'],
};

const only = (results: readonly object[], fields: readonly string[] | undefined) =>
  fields === undefined
    ? results
    : results.map((result) =>
        Object.fromEntries(Object.entries(result).filter(([name]) => fields.includes(name))),
      );

describe('Nexmark', () => {
  for (const [name, query] of Object.entries(QUERIES)) {
    const reference = referenceOf(name, events);
    if (reference === undefined) continue;
    const expected = settled(reference, query);

    test(`${name} as a loop: ${query.about}`, () => {
      assert.ok(expected.length > 0, 'there are results to compare');
      assert.deepEqual(settled(loop(query, name), query), expected);
    });

    test(`${name} as a program`, async () => {
      assert.deepEqual(settled(await run(query, 1), query), expected);
    });

    test(`${name} as a program, in two subtasks`, async () => {
      assert.deepEqual(
        settled(only(await run(query, 2), TIES[name]), query),
        settled(only(reference, TIES[name]), query),
      );
    });
  }

  test('q12 counts every bid in a window of the clock', async () => {
    const site = new TestSource<Event>({ schema: eventSchema });
    const results: { bidder: number; count: number; start: number; end: number }[] = [];
    const pipeline = await PipelineHarness.start({
      sources: [site],
      build: (env) => {
        q12(site.attach(env)).sinkTo(collecting(results));
      },
    });
    const some = events.slice(0, 2000);
    for (const event of some) site.push(event);
    await pipeline.advanceTime('10 s');
    const bids = some.filter((event) => event.kind === 'bid');
    const expected = [...Map.groupBy(bids, ({ bidder }) => bidder)].map(
      ([bidder, { length }]) => [bidder, length] as const,
    );
    const counts = new Map<number, number>();
    for (const { bidder, count, start, end } of results) {
      counts.set(bidder, (counts.get(bidder) ?? 0) + count);
      assert.equal(start % 10_000, 0);
      assert.equal(end, start + 10_000);
    }
    assert.deepEqual([...counts].toSorted(), expected.toSorted());
    await pipeline.close();
  });

  test('q12 as a loop counts every bid', () => {
    const counts = loop(QUERIES['q12']!, 'q12') as readonly { readonly count: number }[];
    const total = counts.reduce((all, { count }) => all + count, 0);
    assert.equal(total, events.filter(({ kind }) => kind === 'bid').length);
  });

  const bidCount = events.filter(({ kind }) => kind === 'bid').length;

  /** The rows of all files in a folder; each file holds one minute. */
  function rowsIn(path: string): readonly string[] {
    const files = readdirSync(path, { recursive: true, withFileTypes: true }).filter(
      (entry) => entry.isFile() && !entry.name.startsWith('.'),
    );
    const rows = files.flatMap((file) =>
      readFileSync(join(file.parentPath, file.name), 'utf8').trimEnd().split('\n'),
    );
    assert.equal(files.length, new Set(rows.map((row) => row.split(',').at(-1))).size);
    return rows;
  }

  test('q10 writes one row a bid, by minute, the same as a loop and as a program', async () => {
    const path = join(dir, 'q10-loop');
    QUERIES['q10']!.loop(events, () => {}, path);
    const env = environment();
    const written = join(dir, 'q10-program');
    q10(eventsOf(env, 1)).sinkTo(q10Sink(written));
    await env.execute('q10');
    const rows = rowsIn(written);
    assert.equal(rows.length, bidCount);
    assert.deepEqual(rows.toSorted(), rowsIn(path).toSorted());
  });
});
