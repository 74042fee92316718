/** Mini-batch and two-phase aggregations, deduplication and top-N: tables, and properties against plain loops. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  type BundleOptions,
  type Change,
  type Configuration,
  type DataStream,
  type DeduplicateOptions,
  type Duration,
  t,
  type WindowAggregate,
} from '../../src/index.ts';
import { CollectTarget, collectSink as collectCommitted } from '../../src/testing/collect-sink.ts';
import { PipelineHarness } from '../../src/testing/pipeline-harness.ts';
import { TestSource } from '../../src/testing/test-source.ts';
import { type Row, run, table } from './run.ts';

const RECORD = t.struct({ key: t.string(), n: t.int32(), id: t.int32() });
interface Record {
  readonly key: string;
  readonly n: number;
  readonly id: number;
}

const mean: WindowAggregate<Record, { n: number; sum: number }, string> = {
  accumulatorSchema: t.struct({ n: t.int32(), sum: t.int64() }),
  resultSchema: t.string(),
  createAccumulator: () => ({ n: 0, sum: 0 }),
  add: (value, { n, sum }) => ({ n: n + 1, sum: sum + value.n }),
  getResult: ({ n, sum }) => `${sum}/${n}`,
  merge: (a, b) => ({ n: a.n + b.n, sum: a.sum + b.sum }),
};

const rowsOf = (
  ...records: readonly (readonly [string, number, number?] | { readonly watermark: number })[]
): readonly Row<Record>[] =>
  records.map((row, id): Row<Record> =>
    'watermark' in row ? row : [{ key: row[0], n: row[1], id }, row[2] ?? id],
  );

const changesOf = <T>(changes: readonly Change<T>[], show: (value: T) => string) =>
  changes.map(({ kind, value }) => `${kind} ${show(value)}`);

/** What remains when all changes have been made. @throws when a change does not fit what is there */
function materialise<T>(changes: readonly Change<T>[]): readonly string[] {
  const rows: string[] = [];
  for (const { kind, value } of changes) {
    const row = JSON.stringify(value);
    if (kind === '+I' || kind === '+U') rows.push(row);
    else {
      const at = rows.indexOf(row);
      assert.ok(at >= 0, `${kind} of ${row}, which is not there`);
      rows.splice(at, 1);
    }
  }
  return rows.toSorted();
}

describe('bundles', () => {
  for (const phase of ['one-phase', 'two-phase'] as const) {
    test(`a key says its result once for each bundle, which ends with a watermark: ${phase}`, async () => {
      const rows = rowsOf(
        ['a', 1],
        ['a', 2],
        ['b', 5],
        { watermark: 3 },
        ['a', 4],
        { watermark: 8 },
        { watermark: 9 },
      );
      const out = await run((env) =>
        table(env, rows, RECORD)
          .keyBy('key')
          .aggregate(mean, { miniBatch: { allowLatency: '1 h' }, phase })
          .process<string>({
            processElement: (value, { currentWatermark }, collector) =>
              collector.collect(`${value} before ${currentWatermark}`),
          }),
      );
      assert.deepEqual(out.toSorted(), [
        '3/2 before -Infinity',
        '5/1 before -Infinity',
        '7/3 before 3',
      ]);
    });

    test(`reductions too, and what has no time is said at the end: ${phase}`, async () => {
      const out = await run((env) =>
        env
          .fromCollection(
            [
              { key: 'a', n: 1, id: 0 },
              { key: 'b', n: 2, id: 1 },
              { key: 'a', n: 3, id: 2 },
            ],
            RECORD,
          )
          .keyBy('key')
          .reduce((a, b) => ({ ...a, n: a.n + b.n }), { miniBatch: { allowLatency: '1 h' }, phase })
          .map(({ key, n }) => `${key}${n}`),
      );
      assert.deepEqual(out.toSorted(), ['a4', 'b2']);
    });
  }

  test('a local bundle that is full is sent before the next key', async () => {
    const rows = rowsOf(['a', 1], ['b', 1], ['a', 1], ['c', 1], ['a', 1]);
    const out = await run((env) =>
      table(env, rows, RECORD)
        .keyBy('key')
        .aggregate(mean, { miniBatch: { allowLatency: '1 h', size: 2 }, phase: 'two-phase' }),
    );
    assert.deepEqual(out.toSorted(), ['1/1', '1/1', '3/3']);
  });

  test('two phases need what they need', async () => {
    const aggregate = (options: BundleOptions, merges: boolean) =>
      run((env) => {
        const { merge, ...without } = mean;
        return table(env, rowsOf(['a', 1]), RECORD)
          .keyBy('key')
          .aggregate(merges ? { ...without, merge: merge! } : without, options);
      });
    await assert.rejects(aggregate({ phase: 'two-phase' }, true), {
      code: 'TWO_PHASE_WITHOUT_MINI_BATCH',
    });
    await assert.rejects(
      aggregate({ phase: 'two-phase', miniBatch: { allowLatency: 10 } }, false),
      { code: 'TWO_PHASE_WITHOUT_MERGE' },
    );
  });
});

describe('deduplication', () => {
  const rows = rowsOf(['a', 1, 5], ['a', 2, 3], ['b', 3, 1], ['a', 4, 5], ['a', 5, 9]);
  const of = (options: DeduplicateOptions) =>
    run((env) => table(env, rows, RECORD).keyBy('key').deduplicate(options));
  const show = ({ key, n }: Record): string => `${key}${n}`;
  const cases: readonly (readonly [DeduplicateOptions, readonly string[]])[] = [
    [{ keep: 'first', by: 'event-time' }, ['+I a1', '-U a1', '+U a2', '+I b3']],
    [{ keep: 'last' }, ['+I a1', '-U a1', '+U a2', '-U a2', '+U a4', '-U a4', '+U a5', '+I b3']],
    [{ keep: 'last', by: 'event-time' }, ['+I a1', '-U a1', '+U a4', '-U a4', '+U a5', '+I b3']],
  ];
  for (const [options, expected] of cases) {
    test(JSON.stringify(options), async () => {
      const out = changesOf(await of(options), show);
      const [a, b] = ['a', 'b'].map((key) => out.filter((line) => line[3] === key));
      assert.deepEqual([...a!, ...b!], expected);
    });
  }

  test('the first to arrive is a plain record', async () => {
    const out = await run((env) =>
      table(env, rows, RECORD).keyBy('key').deduplicate({ keep: 'first' }).map(show),
    );
    assert.deepEqual(out.toSorted(), ['a1', 'b3']);
  });
});

describe('top-N', () => {
  const compare = (a: Record, b: Record): number => b.n - a.n;
  test('says who enters and who is driven out; of equals the first stays before', async () => {
    const rows = rowsOf(['a', 5], ['a', 1], ['a', 5], ['a', 0], ['a', 7]);
    const out = await run((env) => table(env, rows, RECORD).keyBy('key').topN({ n: 2, compare }));
    assert.deepEqual(
      changesOf(out, ({ n, id }) => `${n}#${id}`),
      ['+I 5#0', '+I 1#1', '-D 1#1', '+I 5#2', '-D 5#2', '+I 7#4'],
    );
  });

  test('with ranks each rank that changes is updated', async () => {
    const rows = rowsOf(['a', 5], ['a', 3], ['a', 4], ['a', 3]);
    const out = await run((env) =>
      table(env, rows, RECORD).keyBy('key').rankedTopN({ n: 3, compare }),
    );
    assert.deepEqual(
      changesOf(out, ({ rank, value }) => `${rank}:${value.n}`),
      ['+I 1:5', '+I 2:3', '-U 2:3', '+U 2:4', '+I 3:3'],
    );
  });

  test('n is checked', async () => {
    await assert.rejects(
      run((env) =>
        table(env, rowsOf(['a', 1]), RECORD)
          .keyBy('key')
          .topN({ n: 0, compare }),
      ),
      { code: 'BAD_TOP_N' },
    );
  });
});

interface Reference {
  readonly name: string;
  build(input: DataStream<Record>): DataStream<string>;
  /** What remains in the end. */
  expected(input: readonly (readonly [Record, number])[]): readonly string[];
  remains(out: readonly string[]): readonly string[];
}

const byKey = (input: readonly (readonly [Record, number])[]) =>
  Object.values(Object.groupBy(input, ([{ key }]) => key)) as (readonly (readonly [
    Record,
    number,
  ])[])[];
const parse = (out: readonly string[]): readonly Change<unknown>[] =>
  out.map((line) => JSON.parse(line) as Change<unknown>); // as written by toText
const toText = <T>(stream: DataStream<Change<T>>): DataStream<string> =>
  stream.map((change) => JSON.stringify(change), t.string());
const remaining = (out: readonly string[]): readonly string[] => materialise(parse(out));
const rowOf = (value: unknown): string => JSON.stringify(value);

/** The last result of each key counts; results carry their key and grow with what was counted. */
const counted: WindowAggregate<Record, { key: string; n: number; sum: number }, string> = {
  accumulatorSchema: t.struct({ key: t.string(), n: t.int32(), sum: t.int64() }),
  resultSchema: t.string(),
  createAccumulator: () => ({ key: '', n: 0, sum: 0 }),
  add: ({ key, n }, acc) => ({ key, n: acc.n + 1, sum: acc.sum + n }),
  getResult: ({ key, n, sum }) => `${key} ${n} ${sum}`,
  merge: (a, b) => ({ key: a.key || b.key, n: a.n + b.n, sum: a.sum + b.sum }),
};

function lastOfEachKey(out: readonly string[]): readonly string[] {
  const last = new Map<string, string>();
  for (const line of out) {
    const [key, count] = line.split(' ');
    const before = Number(last.get(key!)?.split(' ')[1] ?? 0);
    assert.ok(Number(count) > before, `${line} comes after ${before} records were counted`);
    last.set(key!, line);
  }
  return [...last.values()].toSorted();
}

const aggregation = (phase: 'one-phase' | 'two-phase', allowLatency: Duration): Reference => ({
  name: `aggregation in bundles of ${allowLatency}, ${phase}`,
  build: (input) =>
    input.keyBy('key').aggregate(counted, { miniBatch: { allowLatency, size: 2 }, phase }),
  expected: (input) =>
    byKey(input)
      .map((own) => `${own[0]![0].key} ${own.length} ${own.reduce((sum, [{ n }]) => sum + n, 0)}`)
      .toSorted(),
  remains: lastOfEachKey,
});

const deduplication = (options: DeduplicateOptions): Reference => ({
  name: `deduplication ${JSON.stringify(options)}`,
  build: (input) => toText(input.keyBy('key').deduplicate(options)),
  expected: (input) =>
    byKey(input)
      .map((own) => {
        const ordered = options.by === 'event-time' ? own.toSorted(([, a], [, b]) => a - b) : own;
        return rowOf(ordered.at(options.keep === 'first' ? 0 : -1)![0]);
      })
      .toSorted(),
  remains: remaining,
});

const compareN = (a: Record, b: Record): number => a.n - b.n;
const ranking = (n: number): Reference => ({
  name: `top ${n}`,
  build: (input) => toText(input.keyBy('key').rankedTopN({ n, compare: compareN })),
  expected: (input) =>
    byKey(input)
      .flatMap((own) =>
        own
          .map(([value]) => value)
          .toSorted(compareN)
          .slice(0, n)
          .map((value, i) => rowOf({ rank: i + 1, value })),
      )
      .toSorted(),
  remains: remaining,
});

const REFERENCES: readonly Reference[] = [
  aggregation('one-phase', '20 ms'),
  aggregation('two-phase', '20 ms'),
  aggregation('one-phase', '1 h'),
  aggregation('two-phase', '1 h'),
  deduplication({ keep: 'last' }),
  deduplication({ keep: 'first', by: 'event-time' }),
  deduplication({ keep: 'last', by: 'event-time' }),
  ranking(1),
  ranking(3),
];

type Step =
  | { readonly kind: 'record'; readonly key: string; readonly n: number; readonly late: number }
  | { readonly kind: 'watermark' | 'checkpoint' | 'crash' | 'wait' }
  | { readonly kind: 'rescale'; readonly parallelism: number };

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({
        kind: fc.constant('record' as const),
        key: fc.constantFrom('a', 'b', 'c'),
        n: fc.nat(6),
        late: fc.nat(4),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({ kind: fc.constantFrom('watermark' as const, 'wait' as const) }),
    },
    {
      weight: 2,
      arbitrary: fc.record({ kind: fc.constantFrom('checkpoint' as const, 'crash' as const) }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant('rescale' as const),
        parallelism: fc.integer({ min: 1, max: 3 }),
      }),
    },
  ),
  { minLength: 1, maxLength: 25 },
);

/** Plays steps in the harness; returns what was committed, and the input in its order. */
async function play(reference: Reference, script: readonly Step[], config: Configuration) {
  const source = new TestSource<Record>({ schema: RECORD });
  const results = new CollectTarget<string>();
  const pipeline = await PipelineHarness.start({
    sources: [source],
    config,
    build: (env) => reference.build(source.attach(env)).sinkTo(collectCommitted(results)),
  });
  const input: (readonly [Record, number])[] = [];
  for (const step of script) {
    const id = input.length;
    if (step.kind === 'record') {
      const value = { key: step.key, n: step.n, id };
      const timestamp = Math.max(0, 10 * id - 10 * step.late);
      source.push(value, { timestamp });
      input.push([value, timestamp]);
    } else if (step.kind === 'watermark') source.advanceWatermark(10 * id - 50);
    else if (step.kind === 'checkpoint') await pipeline.checkpoint();
    else if (step.kind === 'wait') await pipeline.advanceTime(25);
    else if (step.kind === 'rescale') await pipeline.rescale(step.parallelism);
    else await pipeline.crash();
  }
  await pipeline.finish();
  assert.deepEqual(pipeline.violations, []);
  return { out: results.values, input };
}

describe('whatever happens', () => {
  for (const [i, reference] of REFERENCES.entries()) {
    // Turns about, so that both see all kinds.
    const backend = i % 2 === 0 ? 'forst' : 'hashmap';
    test(`${reference.name} equals a loop over all records (${backend})`, async () => {
      await fc.assert(
        fc.asyncProperty(steps, async (script) => {
          const { out, input } = await play(reference, script, { 'state.backend.type': backend });
          assert.deepEqual(reference.remains(out), reference.expected(input));
        }),
        { numRuns: 12 },
      );
    });
  }
});
