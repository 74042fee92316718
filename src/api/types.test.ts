/** What the compiler must accept and refuse: types flow from source to sink without annotation. Nothing here runs a job. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Sink } from '../connector/sink.ts';
import type { Source } from '../connector/source.ts';
import { WatermarkStrategy } from '../connector/watermark-strategies.ts';
import type { Collector } from '../operators/functions.ts';
import { outputTag } from '../operators/output-tag.ts';
import {
  EventTimeSessionWindows,
  GlobalWindows,
  TumblingEventTimeWindows,
} from '../operators/window/assigner.ts';
import type { GlobalWindow, TimeWindow } from '../operators/window/window.ts';
import { collectionSource } from '../connector/collection-source.ts';
import { listState, mapState, valueState } from '../state/descriptor.ts';
import type { Infer, Schema } from '../types/schema.ts';
import { t } from '../types/t.ts';
import { AsyncDataStream } from './async-data-stream.ts';
import { collectSink } from './collect-sink.ts';
import type { DataStream, SingleOutputStreamOperator } from './data-stream.ts';
import { StreamExecutionEnvironment } from './environment.ts';
import type { KeyedStream } from './keyed-stream.ts';
import { recordingExecutor } from '../testing/recording-executor.ts';

type Equal<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

/** Compiles when both types are the same. */
const same = <A, B>(equal: Equal<A, B>): void => assert.equal(equal, true);
type RecordOf<S> = S extends DataStream<infer T> ? T : never;
type KeyOf<S> = S extends KeyedStream<infer _T, infer K> ? K : never;

const orderSchema = t.struct({
  customer: t.string(),
  item: t.int32(),
  amount: t.double(),
  at: t.timestamp(),
  tags: t.array(t.string()),
  note: t.optional(t.string()),
});
type Order = Infer<typeof orderSchema>;
const ORDERS: readonly Order[] = [
  { customer: 'a', item: 1, amount: 2, at: 3, tags: ['x'], note: undefined },
];

function build() {
  const env = new StreamExecutionEnvironment(recordingExecutor().executor);
  const source: Source<Order> = collectionSource(ORDERS, orderSchema);
  const orders = env.fromSource(
    source,
    WatermarkStrategy.forBoundedOutOfOrderness('5 s').withTimestampAssigner((order) => order.at),
    'orders',
  );
  return { env, source, orders };
}

describe('sources', () => {
  test('type their stream, and the timestamp assigner learns the type from the source', () => {
    const { env, source, orders } = build();
    same<RecordOf<typeof orders>, Order>(true);
    const numbers = env.fromSequence(1, 3);
    same<RecordOf<typeof numbers>, number>(true);
    const elements = env.fromElements('a', 'b');
    same<RecordOf<typeof elements>, string>(true);
    env.fromSource(source, WatermarkStrategy.noWatermarks());
    const strategy = WatermarkStrategy.forMonotonousTimestamps<Order>()
      .withTimestampAssigner((order) => order.at)
      .withIdleness('1 min');
    env.fromSource(source, strategy);
    env.fromSource(
      source,
      // @ts-expect-error: the source has no such field
      WatermarkStrategy.forMonotonousTimestamps().withTimestampAssigner((order) => order.time),
    );
    // @ts-expect-error: a strategy for other records
    env.fromSource(env.fromElements(1), strategy);
  });
});

describe('stateless operators', () => {
  test('map, filter and flatMap carry what the function returns', () => {
    const { orders } = build();
    const amounts = orders.map((order) => order.amount);
    same<RecordOf<typeof amounts>, number>(true);
    const tags = orders.flatMap((order) => order.tags);
    same<RecordOf<typeof tags>, string>(true);
    const generated = orders.flatMap(function* ({ item, customer }) {
      yield item;
      yield customer;
    });
    same<RecordOf<typeof generated>, string | number>(true);
    const kept = orders.filter((order) => order.amount > 0);
    same<RecordOf<typeof kept>, Order>(true);
    const noted = orders
      .map((order) => order.note)
      .filter((note): note is string => note !== undefined);
    same<RecordOf<typeof noted>, string>(true);
  });

  test('a schema is checked against the function, and narrows it', () => {
    const { orders } = build();
    const size = t.enum('small', 'large');
    const sizes = orders.map(({ amount }) => (amount > 9 ? 'large' : 'small'), size);
    same<RecordOf<typeof sizes>, 'small' | 'large'>(true);
    // @ts-expect-error: not among the symbols
    orders.map(() => 'medium', size);
    // @ts-expect-error: a number where the schema has a string
    orders.map(({ amount }) => amount, t.string());
    orders.map(({ amount }) => amount).returns(t.double());
    // @ts-expect-error: the records are numbers
    orders.map(({ amount }) => amount).returns(t.string());
  });
});

describe('settings of an operator', () => {
  test('are on operators, not on what is made of their streams', () => {
    const { orders } = build();
    const settled: SingleOutputStreamOperator<Order> = orders
      .uid('orders')
      .name('orders')
      .setParallelism(2);
    // @ts-expect-error: would change the operator before the partitioning
    assert.throws(() => settled.rebalance().setParallelism(3), TypeError);
    // @ts-expect-error: a union has no operator of its own
    assert.throws(() => settled.union(settled).name('both'), TypeError);
    const side = settled.getSideOutput(outputTag<string>('x'));
    // @ts-expect-error: a side output belongs to its operator
    assert.throws(() => side.uid('x'), TypeError);
    settled.print().name('print').uid('p').setParallelism(1);
  });
});

describe('keyBy', () => {
  test('takes a field, several fields, or a function', () => {
    const { orders } = build();
    const byCustomer = orders.keyBy('customer');
    same<KeyOf<typeof byCustomer>, string>(true);
    const byBoth = orders.keyBy('customer', 'item');
    same<KeyOf<typeof byBoth>, readonly [string, number]>(true);
    const bySelector = orders.keyBy((order) => order.customer);
    same<KeyOf<typeof bySelector>, string>(true);
    const byTuple = orders.keyBy(({ customer, item }): [string, number] => [customer, item]);
    same<KeyOf<typeof byTuple>, [string, number]>(true);
    const bySchema = orders.keyBy(
      ({ customer, item }) => ({ customer, item }),
      t.struct({ customer: t.string(), item: t.int32() }),
    );
    same<KeyOf<typeof bySchema>, { readonly customer: string; readonly item: number }>(true);
  });

  test('refuses what cannot be a key', () => {
    const { orders } = build();
    // @ts-expect-error: no such field
    assert.throws(() => orders.keyBy('client'), { code: 'UNKNOWN_FIELD' });
    // @ts-expect-error: a list has no order
    assert.throws(() => orders.keyBy('tags'), { code: 'NOT_A_KEY_SCHEMA' });
    // @ts-expect-error: may be undefined
    orders.keyBy('note');
    // @ts-expect-error: may be undefined
    orders.keyBy((order) => order.note);
    // @ts-expect-error: an object without a schema
    orders.keyBy((order) => ({ customer: order.customer }));
    // @ts-expect-error: a number under a text schema
    orders.keyBy((order) => order.item, t.string());
  });

  test('sums numeric fields only', () => {
    const { orders } = build();
    const keyed = orders.keyBy('customer');
    const sums = keyed.sum('amount');
    same<RecordOf<typeof sums>, Order>(true);
    // @ts-expect-error: text
    keyed.sum('customer');
    keyed.minBy('customer');
    // @ts-expect-error: no such field
    keyed.maxBy('client');
  });
});

describe('process functions', () => {
  test('know their declared state, the key, and what they collect', () => {
    const { orders } = build();
    const counted = orders.keyBy('customer').process(
      {
        state: {
          count: valueState(t.int64(), { default: 0 }),
          last: valueState(orderSchema),
          items: mapState(t.int32(), t.string()),
          all: listState(t.double()),
        },
        processElement(order, { state, key, timers, timestamp }, out) {
          same<typeof key, string>(true);
          same<typeof order, Order>(true);
          same<typeof state.count.value, number>(true);
          same<typeof state.last.value, Order | undefined>(true);
          state.count.value += 1;
          state.items.put(order.item, order.customer);
          state.all.add(order.amount);
          // @ts-expect-error: a map of item numbers
          state.items.put('item', order.customer);
          // @ts-expect-error: not declared
          void state.missing;
          timers.registerEventTimeTimer(timestamp + 1);
          out.collect({ customer: key, count: state.count.value });
          // @ts-expect-error: not of the schema
          out.collect({ customer: key });
        },
        onTimer(_timestamp, { state, timeDomain }, out) {
          same<typeof timeDomain, 'event-time' | 'processing-time'>(true);
          out.collect({ customer: 'x', count: state.count.value });
        },
      },
      t.struct({ customer: t.string(), count: t.int64() }),
    );
    same<RecordOf<typeof counted>, { readonly customer: string; readonly count: number }>(true);
  });

  test('may say what they collect on the collector, and keep their state', () => {
    const { orders } = build();
    const lines = orders.keyBy('customer').process({
      state: { count: valueState(t.int64(), { default: 0 }) },
      processElement(_order, { state, key }, out: Collector<string>) {
        state.count.value += 1;
        out.collect(`${key} ${state.count.value}`);
      },
    });
    same<RecordOf<typeof lines>, string>(true);
  });

  test('without keys have no state', () => {
    const { orders } = build();
    orders.process({
      processElement(_order, context, out: Collector<number>) {
        // @ts-expect-error: state is per key
        void context.state;
        out.collect(context.timestamp);
      },
    });
  });
});

describe('side outputs', () => {
  test('are typed by their tag on both ends', () => {
    const { orders } = build();
    const cheap = outputTag('cheap', t.struct({ item: t.int32() }));
    const main = orders.process({
      processElement(order, context, out: Collector<Order>) {
        context.output(cheap, { item: order.item });
        // @ts-expect-error: not what the tag carries
        context.output(cheap, order.customer);
        out.collect(order);
      },
    });
    const side = main.getSideOutput(cheap);
    same<RecordOf<typeof side>, { readonly item: number }>(true);
    side.keyBy('item');
    // @ts-expect-error: the main output has customers, the side output has not
    assert.throws(() => side.keyBy('customer'), { code: 'UNKNOWN_FIELD' });
    // @ts-expect-error: late records are orders
    orders.keyBy('item').window(TumblingEventTimeWindows.of(1)).sideOutputLateData(cheap);
  });
});

const total = {
  accumulatorSchema: t.double(),
  resultSchema: t.double(),
  createAccumulator: () => 0,
  add: ({ amount }: Order, sum: number) => sum + amount,
  getResult: (sum: number) => sum,
};

describe('windows', () => {
  test('give their functions key, window and content', () => {
    const { orders } = build();
    const windowed = orders
      .keyBy((order) => order.customer)
      .window(TumblingEventTimeWindows.of('1 min'));
    const totals = windowed.aggregate(total);
    same<RecordOf<typeof totals>, number>(true);
    assert.equal(totals.schema?.kind, 'double');
    const named = windowed.aggregate(total, (customer, window, sum) => ({
      customer,
      start: window.start,
      sum,
    }));
    same<RecordOf<typeof named>, { customer: string; start: number; sum: number }>(true);
    const reduced = windowed.reduce((a, b) => (a.amount > b.amount ? a : b));
    same<RecordOf<typeof reduced>, Order>(true);
    const counts = windowed.apply((_key, _window, elements) => elements.length);
    same<RecordOf<typeof counts>, number>(true);
    const summed = windowed.sum('amount');
    same<RecordOf<typeof summed>, Order>(true);
    // @ts-expect-error: text
    windowed.sum('customer');
    const sessions = orders
      .keyBy('customer')
      .window(EventTimeSessionWindows.withDynamicGap((order: Order) => order.item))
      .apply((_key, window) => {
        same<typeof window, TimeWindow>(true);
        return window.end;
      });
    same<RecordOf<typeof sessions>, number>(true);
    orders
      .keyBy('customer')
      .window(GlobalWindows.create())
      .apply((_key, window) => {
        same<typeof window, GlobalWindow>(true);
        // @ts-expect-error: all of time has no start
        void window.start;
      });
    const counted = orders.keyBy('customer').countWindow(3).maxBy('amount');
    same<RecordOf<typeof counted>, Order>(true);
  });

  test('process functions know their window and global state', () => {
    const { orders } = build();
    const windowed = orders.keyBy('customer').window(TumblingEventTimeWindows.of('1 min'));
    const firings = { windowState: { fired: valueState(t.int32(), { default: 0 }) } } as const;
    const out = windowed.process(
      {
        ...firings,
        globalState: { seen: valueState(t.int64(), { default: 0 }) },
        process(key, { window, windowState, globalState }, elements, collector) {
          windowState.fired.value += 1;
          globalState.seen.value += elements.length;
          collector.collect(`${key} ${window.start} ${elements[0]!.item}`);
        },
      },
      t.string(),
    );
    same<RecordOf<typeof out>, string>(true);
    for (const schema of [t.string()]) {
      windowed.reduce(
        (a) => a,
        {
          windowState: { fired: valueState(t.int32(), { default: 0 }) },
          process(_key, { windowState }, [order], collector) {
            windowState.fired.value += 1;
            collector.collect(order!.customer);
          },
        },
        schema,
      );
      windowed.aggregate(
        total,
        {
          globalState: { fired: valueState(t.int32(), { default: 0 }) },
          process(_key, { globalState }, [sum], collector) {
            globalState.fired.value += 1;
            collector.collect(sum!.toFixed(2));
          },
        },
        schema,
      );
    }
  });
});

describe('two streams', () => {
  test('joins know both sides', () => {
    const { env, orders } = build();
    const items = env.fromCollection(
      [{ id: 1, title: 'x' }],
      t.struct({ id: t.int32(), title: t.string() }),
    );
    const joined = orders
      .join(items)
      .where((order) => order.item)
      .equalTo((item) => item.id)
      .window(TumblingEventTimeWindows.of('1 min'))
      .apply((order, item) => ({ customer: order.customer, title: item.title }));
    same<RecordOf<typeof joined>, { customer: string; title: string }>(true);
    orders
      .join(items)
      .where((order) => order.item)
      // @ts-expect-error: a text against a number
      .equalTo((item) => item.title);
    const interval = orders
      .keyBy('item')
      .intervalJoin(items.keyBy('id'))
      .between('-1 min', '1 min')
      .process({
        processElement(order, item, { leftTimestamp }, out: Collector<string>) {
          out.collect(`${order.customer} ${item.title} ${leftTimestamp}`);
        },
      });
    same<RecordOf<typeof interval>, string>(true);
    // @ts-expect-error: keyed by text and by number
    orders.keyBy('customer').intervalJoin(items.keyBy('id'));
  });

  test('connected streams know both sides, their state and broadcast state', () => {
    const { env, orders } = build();
    const rules = env.fromCollection(
      [{ customer: 'a', limit: 1 }],
      t.struct({ customer: t.string(), limit: t.double() }),
    );
    const merged = orders.connect(rules).map(
      (order) => order.amount,
      (rule) => rule.limit,
    );
    same<RecordOf<typeof merged>, number>(true);
    const keyed = orders
      .keyBy('customer')
      .connect(rules.keyBy('customer'))
      .process(
        {
          state: { limit: valueState(t.double()) },
          processElement1({ amount }, { state }, out) {
            out.collect(amount > (state.limit.value ?? 0));
          },
          processElement2({ limit }, { state }) {
            state.limit.value = limit;
          },
        },
        t.boolean(),
      );
    same<RecordOf<typeof keyed>, boolean>(true);
    const limits = { name: 'limits', keySchema: t.string(), valueSchema: t.double() };
    const checked = orders
      .keyBy('customer')
      .connect(rules.broadcastAs(limits))
      .process(
        {
          state: { over: valueState(t.int32(), { default: 0 }) },
          processElement(order, { broadcast, key, state }, out) {
            if (order.amount > (broadcast.get(key) ?? 0)) out.collect((state.over.value += 1));
            // @ts-expect-error: read-only on this side
            broadcast.put(key, 1);
          },
          processBroadcastElement(rule, { broadcast, applyToKeyedState }) {
            broadcast.put(rule.customer, rule.limit);
            applyToKeyedState('over', (_key, { over }) => over.clear());
          },
        },
        t.int32(),
      );
    same<RecordOf<typeof checked>, number>(true);
  });

  test('a union is of one type', () => {
    const { env, orders } = build();
    const both = orders.union(orders.filter(() => true));
    same<RecordOf<typeof both>, Order>(true);
    // @ts-expect-error: orders and numbers
    orders.union(env.fromSequence(1, 2));
  });
});

describe('asynchronous calls and sinks', () => {
  test('asyncMap carries what the call settles with', () => {
    const { orders } = build();
    const call = async ({ item }: Order): Promise<string[]> => [String(item)];
    const answers = orders.asyncMap(call, { timeout: '1 s' });
    same<RecordOf<typeof answers>, string>(true);
    const flink = AsyncDataStream.unorderedWait(orders, call, { timeout: '1 s', capacity: 9 });
    same<RecordOf<typeof flink>, string>(true);
    const ordered = AsyncDataStream.orderedWait(orders, call, { timeout: '1 s' });
    same<RecordOf<typeof ordered>, string>(true);
  });

  test('a sink takes the records of the stream', () => {
    const { orders } = build();
    const wide: Sink<{ readonly amount: number }> = collectSink([]);
    orders.sinkTo(wide);
    const numbers: number[] = [];
    // @ts-expect-error: a sink of numbers
    orders.sinkTo(collectSink(numbers));
    const narrow: Sink<Order & { readonly paid: boolean }> = collectSink([]);
    // @ts-expect-error: the sink needs a field that orders do not have
    orders.sinkTo(narrow);
    orders.forEach((order) => void order.customer);
    const collected: () => Promise<readonly Order[]> = () => orders.executeAndCollect();
    assert.equal(typeof collected, 'function');
  });

  test('helpers over streams infer their records', () => {
    const { orders } = build();
    const first = <T>(stream: DataStream<T>, schema?: Schema<T>): Schema<T> | undefined =>
      schema ?? stream.schema;
    const schema = first(orders);
    same<typeof schema, Schema<Order> | undefined>(true);
    const anything: DataStream<unknown> = orders;
    assert.equal(anything.schema, orderSchema);
  });
});
