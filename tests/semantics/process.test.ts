/** Process functions: timers, state kinds, side outputs, connected and broadcast streams, errors. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  aggregatingState,
  listState,
  mapState,
  NO_TIMESTAMP,
  outputTag,
  reducingState,
  t,
  valueState,
} from '../../src/index.ts';
import { assertOut, type Row, run, table } from './run.ts';

const text = t.string();
const first = (value: string): string => value[0]!;

describe('timers', () => {
  test('fire in the order of time, once per key and time, when the watermark comes', async () => {
    const out = await run((env) =>
      table(env, [['a', 1], ['b', 1], { watermark: 4 }, ['a', 5], { watermark: 100 }], text)
        .keyBy(first, text)
        .process<string>({
          processElement(value, { timers, timestamp }, collector) {
            timers.registerEventTimeTimer(timestamp + 3);
            timers.registerEventTimeTimer(timestamp + 3);
            timers.registerEventTimeTimer(timestamp + 2);
            collector.collect(`${value}@${timestamp}`);
          },
          onTimer: (timestamp, { key }, collector) =>
            collector.collect(`timer ${key} ${timestamp}`),
        }),
    );
    const keyOf = (line: string): string => (line.startsWith('timer ') ? line[6]! : line[0]!);
    assertOut(
      out,
      [
        'a@1',
        'b@1',
        'timer a 3',
        'timer b 3',
        'timer a 4',
        'timer b 4',
        'a@5',
        'timer a 7',
        'timer a 8',
      ],
      keyOf,
    );
  });

  test('a deleted timer does not fire', async () => {
    const out = await run((env) =>
      table(
        env,
        [
          ['a', 1],
          ['a', 2],
        ],
        text,
      )
        .keyBy(first, text)
        .process<string>({
          processElement(_value, { timers, timestamp }) {
            if (timestamp === 1) timers.registerEventTimeTimer(10);
            else timers.deleteEventTimeTimer(10);
          },
          onTimer: (timestamp, _context, collector) => collector.collect(String(timestamp)),
        }),
    );
    assert.deepEqual(out, []);
  });

  test('a timer set while firing fires too if it is due', async () => {
    const out = await run((env) =>
      table(env, [['a', 1], { watermark: 5 }], text)
        .keyBy(first, text)
        .process<string>({
          processElement: (_value, { timers }) => timers.registerEventTimeTimer(2),
          onTimer(timestamp, { timers }, collector) {
            collector.collect(`${timestamp} at ${timers.currentWatermark}`);
            if (timestamp < 4) timers.registerEventTimeTimer(timestamp + 1);
          },
        }),
    );
    assert.deepEqual(out, ['2 at 5', '3 at 5', '4 at 5']);
  });

  test('records from event-time timers carry the timer’s time', async () => {
    const out = await run((env) =>
      table(env, [['a', 1]], text)
        .keyBy(first, text)
        .process<string>(
          {
            processElement: (_value, { timers }) => timers.registerEventTimeTimer(7),
            onTimer: (_t, _c, collector) => collector.collect('x'),
          },
          text,
        )
        .process<number>({
          processElement: (_value, { timestamp }, collector) => collector.collect(timestamp),
        }),
    );
    assert.deepEqual(out, [7]);
  });

  test('processing-time timers fire', async () => {
    const out = await run((env) =>
      env
        .fromElements('a', 'b')
        .union(env.fromElements('c'))
        .keyBy(first, text)
        .process<string>({
          processElement: (_value, { timers }) => timers.registerProcessingTimeTimer(0),
          onTimer: (_timestamp, { key, timeDomain, timestamp }, collector) =>
            collector.collect(`${key} ${timeDomain} ${timestamp === NO_TIMESTAMP}`),
        }),
    );
    assert.ok(out.every((line) => line.endsWith('processing-time true')));
  });
});

describe('keyed state', () => {
  test('every kind is by key', async () => {
    const out = await run((env) =>
      table(
        env,
        [
          ['a1', 1],
          ['b1', 2],
          ['a2', 3],
          ['a1', 4],
        ],
        text,
      )
        .keyBy(first, text)
        .process<string, typeof STATES>({
          state: STATES,
          processElement(value, { state, key }, collector) {
            state.last.value = value;
            state.list.add(value);
            state.map.put(value, (state.map.get(value) ?? 0) + 1);
            state.longest.add(value.length);
            state.mean.add(Number(value.slice(1)));
            collector.collect(
              `${key} ${state.last.value} [${state.list.get().join(' ')}] ${[...state.map.entries()].map(([k, v]) => `${k}=${v}`).join(' ')} ${state.longest.get()} ${state.mean.get()}`,
            );
          },
        }),
    );
    assertOut(
      out,
      [
        'a a1 [a1] a1=1 2 1',
        'b b1 [b1] b1=1 2 1',
        'a a2 [a1 a2] a1=1 a2=1 2 1.5',
        'a a1 [a1 a2 a1] a1=2 a2=1 2 1.3333333333333333',
      ],
      first,
    );
  });

  test('schemaless state is refused unless allowed, naming the state', async () => {
    const failing = run(
      (env) =>
        table(env, [['a', 1]], text)
          .keyBy(first, text)
          .process<string, { any: ReturnType<typeof anything> }>({
            state: { any: anything() },
            processElement: () => {},
          }),
      { 'pipeline.generic-types': false },
    );
    await assert.rejects(failing, { code: 'GENERIC_STATE_TYPE', message: /"any"/ });
  });

  test('a null key is refused', async () => {
    await assert.rejects(
      run((env) =>
        env
          .fromElements(null, 'a')
          .keyBy((value) => value as string, text)
          .process<string>({ processElement: () => {} }),
      ),
      { code: 'NULL_KEY' },
    );
  });

  test('__proto__ is a key like any other', async () => {
    const out = await run((env) =>
      env
        .fromElements('__proto__', 'constructor', '__proto__')
        .keyBy((value) => value, text)
        .process<string, { n: ReturnType<typeof counter> }>({
          state: { n: counter() },
          processElement: (value, { state }, collector) =>
            collector.collect(`${value} ${(state.n.value += 1)}`),
        }),
    );
    assertOut(out, ['__proto__ 1', 'constructor 1', '__proto__ 2'], first);
    assert.equal(({} as Record<string, unknown>)['n'], undefined);
  });
});

const anything = () => valueState(t.generic());
const counter = () => valueState(t.int64(), { default: 0 });
const STATES = {
  last: valueState(text),
  list: listState(text),
  map: mapState(text, t.int32()),
  longest: reducingState(t.int32(), (a: number, b: number) => Math.max(a, b)),
  mean: aggregatingState(t.struct({ n: t.int32(), sum: t.int64() }), {
    createAccumulator: () => ({ n: 0, sum: 0 }),
    add: (value: number, { n, sum }) => ({ n: n + 1, sum: sum + value }),
    getResult: ({ n, sum }) => sum / n,
  }),
} as const;

describe('streams', () => {
  test('side outputs, union and reduce', async () => {
    const odd = outputTag('odd', t.int64());
    const out = await run((env) => {
      const main = env.fromSequence(1, 6).process<number>(
        {
          processElement: (n, context, collector) =>
            n % 2 === 0 ? collector.collect(n) : context.output(odd, n * 100),
        },
        t.int64(),
      );
      return main
        .union(main.getSideOutput(odd))
        .keyBy(() => 0, t.int32())
        .reduce((a, b) => a + b);
    });
    assert.equal(out.at(-1), 2 + 4 + 6 + 900);
    assert.equal(out.length, 6);
  });

  test('connected keyed streams share state', async () => {
    const out = await run((env) =>
      env
        .fromElements('a1')
        .connect(env.fromElements('a2'))
        .keyBy(first, first, text)
        .process<string, { n: ReturnType<typeof counter> }>({
          state: { n: counter() },
          processElement1: (value, { state }, collector) =>
            collector.collect(`1 ${value} ${(state.n.value += 1)}`),
          processElement2: (value, { state }, collector) =>
            collector.collect(`2 ${value} ${(state.n.value += 1)}`),
        }),
    );
    assert.equal(out.length, 2);
    assert.ok(out[1]!.endsWith(' 2'));
  });

  test('broadcast state reaches every subtask and keyed state can be visited', async () => {
    const rules = { name: 'rules', keySchema: text, valueSchema: t.int64() };
    const out = await run((env) => {
      const values: readonly Row<string>[] = [
        ['a', 1],
        ['b', 2],
      ];
      return table(env, values, text)
        .keyBy(first, text)
        .connect(table(env, [['rule', 1]], text).broadcastAs(rules))
        .process<string, { seen: ReturnType<typeof counter> }>({
          state: { seen: counter() },
          processElement: (value, { state, broadcast }, collector) => {
            state.seen.value += 1;
            collector.collect(`${value} ${broadcast.contains('rule')}`);
          },
          processBroadcastElement: (value, { broadcast, applyToKeyedState }, collector) => {
            broadcast.put(value, 1);
            void applyToKeyedState;
            collector.collect(`rule ${[...broadcast.entries()].length}`);
          },
        });
    });
    assert.equal(out.length, 3);
    assert.ok(out.includes('rule 1'));
  });

  test('reduce, sum, minBy and maxBy roll per key', async () => {
    const schema = t.struct({ k: t.string(), n: t.int64() });
    const values = [
      { k: 'a', n: 3 },
      { k: 'a', n: 1 },
      { k: 'b', n: 7 },
      { k: 'a', n: 2 },
    ];
    const roll = (pick: 'sum' | 'minBy' | 'maxBy') =>
      run((env) => {
        const keyed = env.fromCollection(values, schema).keyBy('k');
        const rolled = pick === 'sum' ? keyed.sum('n') : keyed[pick]('n');
        return rolled.map(({ k, n }) => `${k}${n}`);
      });
    assertOut(await roll('sum'), ['a3', 'a4', 'b7', 'a6'], first);
    assertOut(await roll('minBy'), ['a3', 'a1', 'b7', 'a1'], first);
    assertOut(await roll('maxBy'), ['a3', 'a3', 'b7', 'a3'], first);
  });

  test('an exception in user code names operator, subtask and record', async () => {
    const failing = run((env) =>
      env
        .fromSequence(0, 9)
        .map((n) => {
          if (n === 4) throw new TypeError('no fours');
          return n;
        })
        .name('no fours here'),
    );
    await assert.rejects(failing, (error: { code: string; message: string }) => {
      assert.equal(error.code, 'USER_CODE_FAILED');
      assert.match(error.message, /"no fours here", subtask 0, record 4 of its batch: no fours/);
      return true;
    });
  });
});
