/** Window operators against the obvious: a list per window, and the whole input sorted and grouped. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { HashMapStateBackend } from '../../state/hashmap/hashmap-backend.ts';
import {
  type HarnessParams,
  type HarnessSnapshot,
  KeyedOperatorHarness,
} from '../../testing/window-harness.ts';
import { ELEMENTS, show } from '../../testing/window-contract.ts';
import { subtaskOfKeyGroup } from '../../types/key-group.ts';
import { hashKey, murmurHash } from '../../types/key-hash.ts';
import { t } from '../../types/t.ts';
import type { OneInputOperator } from '../contract.ts';
import {
  type AnyWindowAssigner,
  EventTimeSessionWindows,
  SlidingEventTimeWindows,
  TumblingEventTimeWindows,
} from './assigner.ts';
import { createWindowOperator } from './create-window-operator.ts';
import type { WindowContent } from './window-function.ts';
import { WindowOperator, type WindowOperatorParams } from './window-operator.ts';
import type { TimeWindow } from './window.ts';

type Op =
  | { readonly value: string; readonly timestamp: number }
  | { readonly watermark: number }
  | { readonly restore: true };

const time = fc.integer({ min: -30, max: 70 });
const ops: fc.Arbitrary<readonly Op[]> = fc.array(
  fc.oneof(
    {
      weight: 8,
      arbitrary: fc
        .tuple(fc.constantFrom('a', 'b', 'c'), fc.integer({ min: 0, max: 9 }), time)
        .map(([key, n, timestamp]): Op => ({ value: `${key}${n}`, timestamp })),
    },
    { weight: 2, arbitrary: time.map((watermark): Op => ({ watermark })) },
    { weight: 1, arbitrary: fc.constant<Op>({ restore: true }) },
  ),
  { maxLength: 60 },
);

const SUM: WindowContent = {
  kind: 'aggregate',
  schema: t.struct({ n: t.int64(), sum: t.int64() }),
  aggregate: {
    createAccumulator: () => ({ n: 0, sum: 0 }),
    add: (value, held) => {
      const total = held as { n: number; sum: number };
      total.n += 1;
      total.sum += Number(String(value).slice(1));
      return total;
    },
    merge: (a, b) => {
      const [into, from] = [a as { n: number; sum: number }, b as { n: number; sum: number }];
      from.n += into.n;
      from.sum += into.sum;
      return from;
    },
    getResult: (held) => `${(held as { n: number }).n}:${(held as { sum: number }).sum}`,
  },
};

const MAX: WindowContent = {
  kind: 'reduce',
  schema: t.string(),
  reduce: (a, b) => (String(a) > String(b) ? a : b),
};

const CONTENTS: Readonly<Record<string, WindowContent>> = {
  elements: ELEMENTS,
  aggregate: SUM,
  reduce: MAX,
};

/** What a window function would show for these elements. */
function held(content: WindowContent, elements: readonly string[]): string {
  if (content.kind === 'list') return elements.join('+');
  if (content.kind === 'reduce') return String(elements.toSorted().at(-1));
  return `${elements.length}:${elements.reduce((sum, value) => sum + Number(value.slice(1)), 0)}`;
}

interface Setup {
  readonly assigner: AnyWindowAssigner;
  readonly content: WindowContent;
  readonly lateness: number;
}

const paramsOf = ({ assigner, content, lateness }: Setup): WindowOperatorParams => ({
  assigner,
  trigger: assigner.defaultTrigger,
  content,
  window: show,
  keyOf: (value) => (value as string)[0]!,
  allowedLatenessMs: lateness,
});

const harnessOf = (
  setup: Setup,
  create: (params: WindowOperatorParams) => OneInputOperator,
): HarnessParams => ({
  backend: () => new HashMapStateBackend(),
  operator: () => create(paramsOf(setup)),
});

/** Results and drops per operation; within one the order is left open. */
async function evaluate(
  params: HarnessParams,
  input: readonly Op[],
): Promise<readonly (readonly string[])[]> {
  let harness = await KeyedOperatorHarness.open(params);
  let watermark = Number.NEGATIVE_INFINITY;
  const out: string[][] = [];
  for (const op of input) {
    if ('restore' in op) {
      const snapshot = await harness.snapshot();
      await harness.close();
      harness = await KeyedOperatorHarness.open(params, snapshot);
      harness.watermark(watermark);
    } else if ('watermark' in op) {
      watermark = Math.max(watermark, op.watermark);
      harness.watermark(watermark);
    } else {
      harness.element(op.value, op.timestamp);
    }
    const dropped = harness.out.counters.get('numLateRecordsDropped') ?? 0;
    harness.out.counters.clear();
    out.push([
      ...harness
        .drain()
        .map(({ value, timestamp }) => `${String(value)} @${timestamp}`)
        .toSorted(),
      ...Array.from({ length: dropped }, () => 'dropped'),
    ]);
  }
  await harness.close();
  return out;
}

/** The same by the definitions of windows, lateness and firing, over plain lists. */
function model(
  { assigner, content, lateness }: Setup,
  input: readonly Op[],
): readonly (readonly string[])[] {
  const windows = new Map<string, { window: TimeWindow; key: string; elements: string[] }>();
  let watermark = Number.NEGATIVE_INFINITY;
  const line = ({
    window,
    key,
    elements,
  }: {
    window: TimeWindow;
    key: string;
    elements: string[];
  }) => `${key} [${window.start},${window.end}) ${held(content, elements)} @${window.maxTimestamp}`;
  return input.map((op) => {
    if ('restore' in op) return [];
    if ('watermark' in op) {
      const before = watermark;
      watermark = Math.max(watermark, op.watermark);
      return [...windows.values()]
        .filter(({ window }) => window.maxTimestamp > before && window.maxTimestamp <= watermark)
        .map(line)
        .toSorted();
    }
    const out: string[] = [];
    const key = op.value[0]!;
    let accepted = false;
    for (const assigned of assigner.assign(op.value, op.timestamp, 0)) {
      const window = assigned as TimeWindow; // the assigners below make no others
      if (window.maxTimestamp + lateness <= watermark) continue;
      accepted = true;
      const name = `${key}${window.start}`;
      const found = windows.get(name) ?? { window, key, elements: [] };
      windows.set(name, found);
      found.elements.push(op.value);
      if (window.maxTimestamp <= watermark) out.push(line(found));
    }
    return accepted || op.timestamp + lateness > watermark ? out.toSorted() : ['dropped'];
  });
}

const ASSIGNERS: readonly (readonly [string, AnyWindowAssigner])[] = (
  [
    ['tumbling 10', TumblingEventTimeWindows.of(10)],
    ['tumbling 7 offset -3', TumblingEventTimeWindows.of(7, -3)],
    ['sliding 10 by 5', SlidingEventTimeWindows.of(10, 5)],
    ['sliding 10 by 4', SlidingEventTimeWindows.of(10, 4)],
    ['sliding 11 by 7 offset 3', SlidingEventTimeWindows.of(11, 7, 3)],
    ['sliding 20 by 1', SlidingEventTimeWindows.of(20, 1)],
    ['sliding 8 by 8', SlidingEventTimeWindows.of(8, 8)],
    ['sliding 4 by 9, with gaps', SlidingEventTimeWindows.of(4, 9)],
  ] as const
).map(([name, assigner]) => [name, assigner as unknown as AnyWindowAssigner]);

const general = (params: WindowOperatorParams): OneInputOperator => new WindowOperator(params);
const RUNS = { numRuns: 25 };

describe('window operators equal their definition', () => {
  for (const [name, assigner] of ASSIGNERS) {
    for (const lateness of [0, 6]) {
      test(`${name}, lateness ${lateness}`, async () => {
        await fc.assert(
          fc.asyncProperty(
            ops,
            fc.constantFrom(...Object.keys(CONTENTS)),
            async (input, content) => {
              const setup = { assigner, content: CONTENTS[content]!, lateness };
              const expected = model(setup, input);
              assert.deepEqual(
                await evaluate(harnessOf(setup, createWindowOperator), input),
                expected,
              );
              assert.deepEqual(await evaluate(harnessOf(setup, general), input), expected);
            },
          ),
          RUNS,
        );
      });
    }
  }
});

describe('session windows', () => {
  const gaps: readonly (readonly [string, AnyWindowAssigner])[] = [
    ['of one gap', EventTimeSessionWindows.withGap(6) as unknown as AnyWindowAssigner], // fed strings
    [
      'of gaps by record',
      EventTimeSessionWindows.withDynamicGap(
        (value: string) => 1 + Number(value.slice(1)),
      ) as unknown as AnyWindowAssigner, // as above
    ],
  ];
  for (const [name, assigner] of gaps) {
    test(`${name} are those of the general operator`, async () => {
      await fc.assert(
        fc.asyncProperty(ops, fc.constantFrom(...Object.keys(CONTENTS)), async (input, content) => {
          const setup = { assigner, content: CONTENTS[content]!, lateness: 0 };
          assert.deepEqual(
            await evaluate(harnessOf(setup, createWindowOperator), input),
            await evaluate(harnessOf(setup, general), input),
          );
        }),
        { numRuns: 150 },
      );
    });
  }
});

/** Arrival in an order that a bound of out-of-orderness allows; the watermark follows. */
const outOfOrder: fc.Arbitrary<readonly Op[]> = fc
  .array(
    fc.tuple(
      fc.constantFrom('a', 'b'),
      fc.integer({ min: 0, max: 150 }),
      fc.integer({ min: 0, max: 12 }),
    ),
    { maxLength: 50 },
  )
  .map((records) => {
    const arriving = records
      .map(([key, timestamp, delay], i) => ({
        value: `${key}${i % 10}`,
        timestamp,
        at: timestamp + delay,
      }))
      .toSorted((a, b) => a.at - b.at);
    let greatest = Number.NEGATIVE_INFINITY;
    const input: Op[] = [];
    for (const { value, timestamp } of arriving) {
      greatest = Math.max(greatest, timestamp);
      input.push({ value, timestamp }, { watermark: greatest - 12 - 1 });
    }
    return [...input, { watermark: Number.POSITIVE_INFINITY }];
  });

/** Sessions of the sorted input: cut where the next record is more than a gap away. */
function sessionsOf(input: readonly Op[], gap: number): readonly string[] {
  const out: string[] = [];
  for (const key of ['a', 'b']) {
    const times = input
      .flatMap((op) => ('value' in op && op.value.startsWith(key) ? [op.timestamp] : []))
      .toSorted((a, b) => a - b);
    let start = 0;
    times.forEach((timestamp, i) => {
      const next = times[i + 1];
      if (next !== undefined && next <= timestamp + gap) return;
      out.push(`${key} [${times[start]},${timestamp + gap}) ${i - start + 1}`);
      start = i + 1;
    });
  }
  return out.toSorted();
}

describe('without late records', () => {
  test('sessions are those of the sorted input', async () => {
    const gap = 7;
    const content: WindowContent = {
      kind: 'aggregate',
      schema: t.int64(),
      aggregate: {
        createAccumulator: () => 0,
        add: (_value, n) => (n as number) + 1,
        merge: (a, b) => (a as number) + (b as number),
        getResult: (n) => n,
      },
    };
    const assigner = EventTimeSessionWindows.withGap(gap) as unknown as AnyWindowAssigner; // fed strings
    await fc.assert(
      fc.asyncProperty(outOfOrder, async (input) => {
        const out = await evaluate(
          harnessOf({ assigner, content, lateness: 0 }, createWindowOperator),
          input,
        );
        const results = out.flat().map((line) => line.replace(/ @.*/, ''));
        assert.deepEqual(results.toSorted(), sessionsOf(input, gap));
      }),
      { numRuns: 100 },
    );
  });

  test('sliding windows are the input grouped by window', async () => {
    const assigner = SlidingEventTimeWindows.of(25, 10) as unknown as AnyWindowAssigner; // fed strings
    await fc.assert(
      fc.asyncProperty(outOfOrder, async (input) => {
        const groups = new Map<string, string[]>();
        for (const op of input) {
          if (!('value' in op)) continue;
          for (let start = -30; start <= 150; start += 10) {
            if (op.timestamp < start || op.timestamp >= start + 25) continue;
            const name = `${op.value[0]} [${start},${start + 25})`;
            groups.set(name, [...(groups.get(name) ?? []), op.value]);
          }
        }
        const out = await evaluate(
          harnessOf({ assigner, content: ELEMENTS, lateness: 0 }, createWindowOperator),
          input,
        );
        const expected = [...groups].map(([name, values]) => `${name} ${values.join('+')}`);
        assert.deepEqual(
          out
            .flat()
            .map((line) => line.replace(/ @.*/, ''))
            .toSorted(),
          expected.toSorted(),
        );
      }),
      { numRuns: 60 },
    );
  });
});

describe('rescaling', () => {
  test('elements keep their order of arrival when keys move to other subtasks', async () => {
    const setup: Setup = {
      assigner: SlidingEventTimeWindows.of(20, 5) as unknown as AnyWindowAssigner, // fed strings
      content: ELEMENTS,
      lateness: 0,
    };
    const params = harnessOf(setup, createWindowOperator);
    const keys = ['a', 'b', 'c', 'd', 'e', 'f'];
    const feed = (harness: KeyedOperatorHarness, owned: readonly string[], round: number): void => {
      for (const key of owned) {
        harness.element(`${key}${round}x`, 19 - round);
        harness.element(`${key}${round}y`, round);
      }
    };
    const open = (parallelism: number, from: HarnessSnapshot) =>
      Promise.all(
        Array.from({ length: parallelism }, (_, index) =>
          KeyedOperatorHarness.open(params, from, { index, parallelism }),
        ),
      );
    const owner = (key: string, parallelism: number): number =>
      subtaskOfKeyGroup(murmurHash(hashKey(key)) % 16, parallelism, 16);
    const one = await KeyedOperatorHarness.open(params);
    for (let round = 0; round < 3; round++) feed(one, keys, round);
    const three = await open(3, await one.snapshot());
    three.forEach((harness, index) =>
      feed(
        harness,
        keys.filter((key) => owner(key, 3) === index),
        3,
      ),
    );
    const parts: HarnessSnapshot[] = [];
    for (const harness of three) parts.push(await harness.snapshot());
    const [back] = await open(1, {
      store: parts[0]!.store,
      keyedBytes: 0,
      operators: parts.flatMap(({ operators }) => operators),
    });
    feed(back!, keys, 4);
    back!.watermark(Number.POSITIVE_INFINITY);
    const whole = back!
      .drain()
      .map(({ value }) => String(value))
      .filter((line) => line.includes('[0,20)'));
    const arrival = (key: string): string =>
      [0, 1, 2, 3, 4].map((round) => `${key}${round}x+${key}${round}y`).join('+');
    assert.deepEqual(
      whole.toSorted(),
      keys.map((key) => `${key} [0,20) ${arrival(key)}`),
    );
  });
});
