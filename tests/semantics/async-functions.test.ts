/** Process functions that are async: order, state by await and by ranges, timers, prefetching, and what is refused. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  aggregatingState,
  asyncState,
  type Collector,
  listState,
  mapState,
  outputTag,
  reducingState,
  t,
  TumblingEventTimeWindows,
  valueState,
} from '../../src/index.ts';
import { readsTakeTime, type Row, run, table } from './run.ts';

const text = t.string();
const first = (value: string): string => value[0]!;
const pause = async (turns: number): Promise<void> => {
  for (let i = 0; i < turns; i++) await Promise.resolve();
};
const rowsOf = (...values: readonly string[]): readonly Row<string>[] =>
  values.map((value, i): Row<string> => [value, i + 1]);
const CLICKS = { clicks: asyncState(mapState(text, t.int32())) };
const counter = () => valueState(t.int64(), { default: 0 });

describe('async process functions', () => {
  test('records of a key follow one another; state is awaited', async () => {
    const out = await run((env) =>
      table(env, rowsOf('ax', 'bx', 'ax', 'ay', 'bx', 'ax'), text)
        .keyBy(first, text)
        .process(
          {
            state: CLICKS,
            async processElement(value, { state, key }, out) {
              const page = value.slice(1);
              const before = (await state.clicks.get(page)) ?? 0;
              state.clicks.put(page, before + 1);
              out.collect(`${key}:${page}=${before + 1}`);
            },
          },
          text,
        ),
    );
    const of = (key: string) => out.filter((line) => line.startsWith(key));
    assert.deepEqual(of('a'), ['a:x=1', 'a:x=2', 'a:y=1', 'a:x=3']);
    assert.deepEqual(of('b'), ['b:x=1', 'b:x=2']);
  });

  test('other keys go on while one waits for something else; its own records do not', async () => {
    const log: string[] = [];
    const gate = Promise.withResolvers<void>();
    await run((env) =>
      table(env, rowsOf('a1', 'b1', 'a2', 'b2'), text)
        .keyBy(first, text)
        .process(
          {
            state: { n: counter() },
            async processElement(value, { state }, _out: Collector<string>) {
              log.push(`begin ${value}`);
              state.n.value += 1;
              if (value === 'a1') await gate.promise;
              state.n.value += 1;
              if (value === 'b2') gate.resolve();
              log.push(`end ${value} ${state.n.value}`);
            },
          },
          text,
        ),
    );
    assert.ok(log.indexOf('end b2 4') < log.indexOf('end a1 2'), log.join(', '));
    assert.ok(log.indexOf('end a1 2') < log.indexOf('begin a2'), log.join(', '));
  });

  test('every kind of state can be awaited', async () => {
    const states = {
      last: asyncState(valueState(text, { default: '-' })),
      list: asyncState(listState(text)),
      longest: asyncState(reducingState(t.int32(), (a: number, b: number) => Math.max(a, b))),
      mean: asyncState(
        aggregatingState(t.struct({ n: t.int32(), sum: t.int64() }), {
          createAccumulator: () => ({ n: 0, sum: 0 }),
          add: (value: number, { n, sum }) => ({ n: n + 1, sum: sum + value }),
          getResult: ({ n, sum }) => sum / n,
        }),
      ),
      expiring: asyncState(
        reducingState(t.int64(), (a: number, b: number) => a + b, { ttl: { ttlMs: 3_600_000 } }),
      ),
    };
    const out = await run((env) =>
      table(env, rowsOf('a1', 'a22', 'a3'), text)
        .keyBy(first, text)
        .process(
          {
            state: states,
            async processElement(value, { state }, collector) {
              const before = await state.last.get();
              state.last.set(value);
              await state.list.add(value);
              await state.longest.add(value.length);
              await state.mean.add(Number(value.slice(1)));
              await state.expiring.add(1);
              const all: string[] = [];
              for await (const one of state.list) all.push(one);
              collector.collect(
                `${before} [${all.join(' ')}] ${await state.longest.get()} ${await state.mean.get()} ${await state.expiring.get()}`,
              );
            },
          },
          text,
        ),
    );
    assert.deepEqual(out, [
      '- [a1] 2 1 1',
      'a1 [a1 a22] 3 11.5 2',
      'a22 [a1 a22 a3] 3 8.666666666666666 3',
    ]);
  });

  test('maps are read by ranges, in order, with what was put and removed just before', async () => {
    const out = await run((env) =>
      table(env, rowsOf('a5', 'a3', 'a9', 'a7', 'a1', 'a?'), text)
        .keyBy(first, text)
        .process(
          {
            state: { seen: asyncState(mapState(t.int32(), text)) },
            async processElement(value, { state: { seen } }, collector) {
              if (value !== 'a?') {
                seen.put(Number(value.slice(1)), value);
                return;
              }
              seen.remove(3);
              seen.put(4, 'a4');
              const between: string[] = [];
              for await (const [key, held] of seen.entries({ from: 3, to: 9 }))
                between.push(`${key}=${held}`);
              const keys: number[] = [];
              for await (const key of seen.keys()) keys.push(key);
              collector.collect(
                `${between.join(' ')} | ${keys.join(' ')} | ${await seen.isEmpty()}`,
              );
              seen.clear();
              collector.collect(String(await seen.isEmpty()));
            },
          },
          text,
        ),
    );
    assert.deepEqual(out, ['4=a4 5=a5 7=a7 | 1 4 5 7 9 | false', 'true']);
  });

  test('timers may be async; the watermark waits for them and for what they set', async () => {
    const out = await run((env) =>
      table(env, [['a1', 1], ['b2', 2], { watermark: 20 }, ['a9', 30]], text)
        .keyBy(first, text)
        .process<string, typeof CLICKS>(
          {
            state: CLICKS,
            async processElement(value, { timers, state, timestamp }) {
              const times = (await state.clicks.get('times')) ?? 0;
              state.clicks.put('times', times + 1);
              timers.registerEventTimeTimer(timestamp + 5);
            },
            async onTimer(timestamp, { key, state, timers }, collector) {
              const times = await state.clicks.get('times');
              collector.collect(`${key} ${timestamp} ${times} at ${timers.currentWatermark}`);
              if (timestamp === 6) timers.registerEventTimeTimer(10);
            },
          },
          text,
        )
        .process<string>({
          processElement: (value, { currentWatermark }, collector) =>
            collector.collect(`${value} seen at ${currentWatermark}`),
        }),
    );
    const before = out.filter((line) => !line.includes('35'));
    assert.deepEqual(before.toSorted(), [
      'a 10 1 at 20 seen at -Infinity',
      'a 6 1 at 20 seen at -Infinity',
      'b 7 1 at 20 seen at -Infinity',
    ]);
    assert.equal(out.length, 4);
  });

  test('both inputs of connected streams may be async', async () => {
    const out = await run((env) =>
      table(env, rowsOf('a1', 'a2'), text)
        .connect(table(env, rowsOf('a3', 'b4'), text))
        .keyBy(first, first, text)
        .process(
          {
            state: { sum: counter(), seen: asyncState(mapState(text, t.boolean())) },
            async processElement1(value, { state }, collector) {
              assert.equal(await state.seen.contains(value), false);
              state.seen.put(value, true);
              state.sum.value += Number(value.slice(1));
              collector.collect(`${value[0]}${state.sum.value}`);
            },
            async processElement2(value, { state }, collector) {
              await pause(3);
              state.sum.value += Number(value.slice(1));
              collector.collect(`${value[0]}${state.sum.value}`);
            },
          },
          text,
        ),
    );
    assert.equal(out.length, 4);
    assert.ok(out.includes('a6') && out.includes('b4'));
  });

  test('what is collected keeps its time, its side output and its place in the order of the key', async () => {
    const odd = outputTag('odd', text);
    const out = await run((env) => {
      const main = table(env, rowsOf('a1', 'a2', 'a3'), text)
        .keyBy(first, text)
        .process(
          {
            async processElement(value, context, collector) {
              await pause(value === 'a1' ? 9 : 1);
              if (Number(value.slice(1)) % 2 === 1) context.output(odd, value);
              collector.collect(`${value}@${context.timestamp}`);
            },
          },
          text,
        );
      return main.union(main.getSideOutput(odd));
    });
    assert.deepEqual(
      out.filter((line) => line.includes('@')),
      ['a1@1', 'a2@2', 'a3@3'],
    );
    assert.deepEqual(
      out.filter((line) => !line.includes('@')),
      ['a1', 'a3'],
    );
  });

  test('sums of any input equal those of a loop', async () => {
    const input = fc.array(
      fc.record({ key: fc.constantFrom('a', 'b', 'c'), turns: fc.nat(5), slot: fc.nat(3) }),
      { maxLength: 30 },
    );
    await fc.assert(
      fc.asyncProperty(input, async (records) => {
        const values = records.map(({ key, turns, slot }) => `${key}${slot}${turns}`);
        const out = await run((env) =>
          table(env, rowsOf(...values), text)
            .keyBy(first, text)
            .process(
              {
                state: { slots: asyncState(mapState(text, t.int32())), count: counter() },
                async processElement(value, { state, key }, collector) {
                  const order = (state.count.value += 1);
                  const slot = value[1]!;
                  const sum = ((await state.slots.get(slot)) ?? 0) + 1;
                  await pause(Number(value[2]));
                  state.slots.put(slot, sum);
                  let all = 0;
                  for await (const n of state.slots.values()) all += n;
                  collector.collect(
                    `${key}${slot} ${sum} ${order === all ? 'all' : `${order} of ${all}`}`,
                  );
                },
              },
              text,
            ),
        );
        const sums = new Map<string, number>();
        const expected = values.map((value) => {
          const slot = value.slice(0, 2);
          sums.set(slot, (sums.get(slot) ?? 0) + 1);
          return `${slot} ${sums.get(slot)!} all`;
        });
        for (const key of ['a', 'b', 'c'])
          assert.deepEqual(
            out.filter((line) => line.startsWith(key)),
            expected.filter((line) => line.startsWith(key)),
          );
      }),
      { numRuns: 40 },
    );
  });
});

describe('prefetching', () => {
  test('a function that is not async reads the entries that it declares', async () => {
    const out = await run((env) =>
      table(env, [['ax', 1], ['ay', 2], ['ax', 3], { watermark: 50 }], text)
        .keyBy(first, text)
        .process(
          {
            state: { seen: mapState(text, t.int32()) },
            prefetch: { seen: (value) => [value.slice(1)] },
            prefetchOnTimer: { seen: (timestamp) => [timestamp > 5 ? 'y' : 'x'] },
            processElement(value, { state, timers, timestamp }, collector) {
              const page = value.slice(1);
              const seen = (state.seen.get(page) ?? 0) + 1;
              state.seen.put(page, seen);
              timers.registerEventTimeTimer(timestamp + 4);
              collector.collect(`${page}${seen}`);
            },
            onTimer: (timestamp, { state }, collector) =>
              collector.collect(`${timestamp}:${state.seen.get(timestamp > 5 ? 'y' : 'x')}`),
          },
          text,
        ),
    );
    assert.deepEqual(out, ['x1', 'y1', 'x2', '5:2', '6:1', '7:1']);
  });

  test('names maps of the function only', async () => {
    await assert.rejects(
      run((env) =>
        table(env, rowsOf('a1'), text)
          .keyBy(first, text)
          .process<string, { n: ReturnType<typeof counter> }>({
            state: { n: counter() },
            prefetch: { n: () => [1] } as never,
            processElement: () => {},
          }),
      ),
      { code: 'BAD_PREFETCH', message: /"n", which is no map state/ },
    );
  });
});

describe('misuse says what to do', () => {
  interface Misuse {
    readonly name: string;
    readonly process: (keep: { state?: { n: { value: number } } }) => (
      value: string,
      context: {
        readonly state: {
          readonly n: { value: number };
          readonly clicks: { get(key: string): Promise<number | undefined> };
        };
      },
      out: Collector<string>,
    ) => Promise<void>;
    readonly message: RegExp;
  }
  const cases: readonly Misuse[] = [
    {
      name: 'state of a record that has ended, used by the next one',
      process:
        (keep) =>
        async (_value, { state }) => {
          if (keep.state === undefined) keep.state = state;
          else keep.state.n.value += 1;
        },
      message: /state "n" was used by the call for the record of key a after that call had ended/,
    },
    {
      name: 'a collector kept for later',
      process: (keep) => {
        const kept = keep as { out?: Collector<string> };
        return async (value, _context, out) => {
          if (kept.out === undefined) kept.out = out;
          else kept.out.collect(value);
        };
      },
      message: /something was collected by the call for the record of key a after/,
    },
    {
      name: 'an error of user code',
      process: () => async () => {
        await pause(2);
        throw new TypeError('no such luck');
      },
      message: /operator "keyed-process".*no such luck/,
    },
  ];
  for (const { name, process, message } of cases) {
    test(name, async () => {
      const keep = {};
      await assert.rejects(
        run((env) =>
          table(env, rowsOf('a1', 'a2'), text)
            .keyBy(first, text)
            .process<string, { n: ReturnType<typeof counter> } & typeof CLICKS>(
              { state: { n: counter(), ...CLICKS }, processElement: process(keep) },
              text,
            ),
        ),
        { message },
      );
    });
  }

  test('a read that nobody awaits', async () => {
    const running = run((env) =>
      table(env, rowsOf('a1', 'a2'), text)
        .keyBy(first, text)
        .process<string, typeof CLICKS>({
          state: CLICKS,
          async processElement(value, { state }) {
            void state.clicks.get(value).catch(() => undefined);
          },
        }),
    );
    // What is in memory is read at once, awaited or not.
    if (readsTakeTime())
      await assert.rejects(running, { message: /await every read before it returns/ });
    else assert.deepEqual(await running, []);
  });

  test('state to be awaited where nobody can wait', async () => {
    const awaited = asyncState(valueState(t.int32(), { default: 0 }));
    for (const place of ['windowState', 'globalState'] as const) {
      await assert.rejects(
        run((env) =>
          table(env, rowsOf('a1'), text)
            .keyBy(first, text)
            .window(TumblingEventTimeWindows.of(10))
            .process<string>({ [place]: { awaited }, process: () => {} }, text),
        ),
        { code: 'ASYNC_STATE_UNSUPPORTED' },
      );
    }
  });

  test('a promise from a function that is not async', async () => {
    await assert.rejects(
      run((env) =>
        table(env, rowsOf('a1'), text)
          .keyBy(first, text)
          .process({ processElement: (_value, _context, _out: Collector<string>) => pause(1) }),
      ),
      { message: /not async returned a promise.*write `async processElement/ },
    );
  });
});
