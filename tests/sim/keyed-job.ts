/**
 * The job under test and its reference: keyed state, event-time timers, tumbling windows, late data, transactional sinks.
 *
 *   source -> [sent] =by key=> [received] =by key=> process (state, timers) -> sink
 *                                    `=====by group=====> windows, late data -> sink
 */
import type { StreamExecutionEnvironment } from '../../src/api/environment.ts';
import type { DataStream } from '../../src/api/data-stream.ts';
import { WatermarkStrategy } from '../../src/connector/watermark-strategies.ts';
import type { Sink } from '../../src/connector/sink.ts';
import type { Source } from '../../src/connector/source.ts';
import type { OneInputOperator } from '../../src/operators/contract.ts';
import { outputTag } from '../../src/operators/output-tag.ts';
import { TumblingEventTimeWindows } from '../../src/operators/window/assigner.ts';
import { asyncState, mapState, reducingState, valueState } from '../../src/state/descriptor.ts';
import type { Violation } from '../../src/testing/checkers.ts';
import { LedgerProbe, SlowProbe, WatermarkProbe } from '../../src/testing/probes.ts';
import { hashText, SeededRandom } from '../../src/testing/seeded-random.ts';
import type { Infer } from '../../src/types/schema.ts';
import { t } from '../../src/types/t.ts';
import type { ScriptedRecord } from './scripted-source.ts';
import type { Settings } from './settings.ts';

export const INPUT = t.struct({
  id: t.int32(),
  key: t.string(),
  group: t.string(),
  amount: t.int32(),
  at: t.int64(),
});
export type Input = Infer<typeof INPUT>;

export const OUTPUT = t.struct({
  kind: t.enum('seen', 'timer', 'window', 'late'),
  /** `seen` and `timer`: the key; `window` and `late`: group and start. */
  key: t.string(),
  id: t.int32(),
  /** `seen`: how many of its key so far. */
  order: t.int32(),
  sum: t.int64(),
});
export type Output = Infer<typeof OUTPUT>;

const SENT = 'ledger-sent';
const RECEIVED = 'ledger-received';
const amountOf = (value: unknown): number => (value as Input).amount; // of records between the two
export const LEDGER = { sentUid: SENT, receivedUid: RECEIVED, schema: INPUT, amountOf };
const TIMER_DELAY_MS = 300;
const GROUPS = 3;

export function drawInput(settings: Settings): ScriptedRecord<Input>[][] {
  const random = new SeededRandom(settings.seed).fork('input');
  let id = 0;
  return Array.from({ length: settings.splits }, (_, split) => {
    let clock = 1_000_000;
    return Array.from({ length: settings.recordsPerSplit }, () => {
      clock += random.int(20);
      const at = clock - random.between(0, settings.disorderMs);
      const value: Input = {
        id: id++,
        // A key lives in one split, so that its order is defined; groups are shared by all.
        key: `k${split}-${random.int(settings.keysPerSplit)}`,
        group: `g${random.int(GROUPS)}`,
        amount: random.between(-100, 100),
        at,
      };
      return { value, timestamp: at };
    });
  });
}

export interface JobParts {
  readonly source: Source<Input>;
  readonly perKey: Sink<Output>;
  readonly perWindow: Sink<Output>;
  /** Where the probes report to. */
  readonly violations: Violation[];
  /** What an operator waits after a batch, by where it is; milliseconds, 0 for nothing. */
  slowMs(place: 'middle' | 'sink'): number;
}

export function buildJob(
  env: StreamExecutionEnvironment,
  settings: Settings,
  { source, perKey, perWindow, violations, slowMs }: JobParts,
): void {
  const probe = (where: string) => (): OneInputOperator => new WatermarkProbe(where, violations);
  const ledger = (): OneInputOperator => new LedgerProbe(amountOf);
  const slow = (place: 'middle' | 'sink') => (): OneInputOperator =>
    new SlowProbe(() => slowMs(place));
  const bounded = WatermarkStrategy.forBoundedOutOfOrderness<Input>(settings.disorderMs);
  // Files know no timestamps; the scripted source gives them.
  const strategy =
    settings.source === 'files' ? bounded.withTimestampAssigner(({ at }) => at) : bounded;
  const received = env
    .fromSource(source, strategy)
    .uid('source')
    .transform('probe', ledger, INPUT)
    .uid(SENT)
    .partitionCustom(
      (key: string, parallelism) => hashText(key) % parallelism,
      ({ key }) => key,
    )
    .transform('probe', ledger, INPUT)
    .uid(RECEIVED)
    .transform('probe', probe('behind the first exchange'), INPUT)
    .transform('slow', slow('middle'), INPUT);
  (settings.asyncFunctions ? processKeysAsync(received) : processKeys(received))
    .transform('probe', probe('behind process'), OUTPUT)
    .transform('slow', slow('sink'), OUTPUT)
    .sinkTo(perKey)
    .uid('per-key');
  foldWindows(received, settings.windowMs)
    .transform('slow', slow('middle'), OUTPUT)
    .sinkTo(perWindow)
    .uid('per-window');
}

function processKeys(input: DataStream<Input>): DataStream<Output> {
  return input
    .keyBy(({ key }) => key, t.string())
    .process(
      {
        state: {
          count: valueState(t.int32(), { default: 0 }),
          sum: reducingState(t.int64(), (a: number, b: number) => a + b),
          pending: mapState(t.int64(), t.string()),
        },
        processElement(
          { id, key, amount, at },
          { state, timers },
          out: { collect(value: Output): void },
        ) {
          state.count.value += 1;
          state.sum.add(amount);
          out.collect({ kind: 'seen', key, id, order: state.count.value, sum: state.sum.get()! });
          const due = at + TIMER_DELAY_MS;
          const waiting = state.pending.get(due);
          state.pending.put(due, waiting === undefined ? String(id) : `${waiting},${id}`);
          timers.registerEventTimeTimer(due);
          timers.registerProcessingTimeTimer(timers.currentProcessingTime + 7);
        },
        onTimer(timestamp, { state, key, timeDomain }, out) {
          if (timeDomain === 'processing-time') return;
          for (const id of state.pending.get(timestamp)?.split(',') ?? [])
            out.collect({ kind: 'timer', key, id: Number(id), order: 0, sum: 0 });
          state.pending.remove(timestamp);
        },
      },
      OUTPUT,
    )
    .uid('process');
}

/** The same, awaiting all of its state. */
function processKeysAsync(input: DataStream<Input>): DataStream<Output> {
  return input
    .keyBy(({ key }) => key, t.string())
    .process(
      {
        state: {
          count: asyncState(valueState(t.int32(), { default: 0 })),
          sum: asyncState(reducingState(t.int64(), (a: number, b: number) => a + b)),
          pending: asyncState(mapState(t.int64(), t.string())),
        },
        async processElement(
          { id, key, amount, at },
          { state, timers },
          out: { collect(value: Output): void },
        ) {
          const order = (await state.count.get()) + 1;
          state.count.set(order);
          await state.sum.add(amount);
          out.collect({ kind: 'seen', key, id, order, sum: (await state.sum.get())! });
          const due = at + TIMER_DELAY_MS;
          const waiting = await state.pending.get(due);
          state.pending.put(due, waiting === undefined ? String(id) : `${waiting},${id}`);
          timers.registerEventTimeTimer(due);
          timers.registerProcessingTimeTimer(timers.currentProcessingTime + 7);
        },
        async onTimer(timestamp, { state, key, timeDomain }, out) {
          if (timeDomain === 'processing-time') {
            // Reads across all that is pending, and changes nothing.
            for await (const _ of state.pending.keys());
            return;
          }
          for (const id of (await state.pending.get(timestamp))?.split(',') ?? [])
            out.collect({ kind: 'timer', key, id: Number(id), order: 0, sum: 0 });
          state.pending.remove(timestamp);
        },
      },
      OUTPUT,
    )
    .uid('process');
}

function foldWindows(input: DataStream<Input>, windowMs: number): DataStream<Output> {
  const late = outputTag('late', INPUT);
  const windows = input
    .keyBy(({ group }) => group, t.string())
    .window(TumblingEventTimeWindows.of(windowMs))
    .sideOutputLateData(late)
    .aggregate(
      {
        accumulatorSchema: t.int64(),
        createAccumulator: () => 0,
        add: ({ amount }: Input, sum) => sum + amount,
        getResult: (sum) => sum,
      },
      (group: string, { start }, sum: number): Output => ({
        kind: 'window',
        key: `${group}@${start}`,
        id: 0,
        order: 0,
        sum,
      }),
      OUTPUT,
    )
    .uid('windows');
  const tooLate = windows.getSideOutput(late).map(
    ({ id, group, amount, at }): Output => ({
      kind: 'late',
      key: `${group}@${at - (at % windowMs)}`,
      id,
      order: 0,
      sum: amount,
    }),
    OUTPUT,
  );
  return windows.union(tooLate);
}

/** What `seen` and `timer` must say, by plain loops over the input. */
export function referencePerKey(input: readonly (readonly ScriptedRecord<Input>[])[]): Output[] {
  const out: Output[] = [];
  const counts = new Map<string, { order: number; sum: number }>();
  for (const { value } of input.flat()) {
    const { key, id, amount } = value;
    const so = counts.get(key) ?? { order: 0, sum: 0 };
    const now = { order: so.order + 1, sum: so.sum + amount };
    counts.set(key, now);
    out.push({ kind: 'seen', key, id, ...now }, { kind: 'timer', key, id, order: 0, sum: 0 });
  }
  return out;
}

/** Sum by group and window, late or not. */
export function referencePerWindow(
  input: readonly (readonly ScriptedRecord<Input>[])[],
  windowMs: number,
): Map<string, number> {
  const sums = new Map<string, number>();
  for (const { value } of input.flat()) {
    const key = `${value.group}@${value.at - (value.at % windowMs)}`;
    sums.set(key, (sums.get(key) ?? 0) + value.amount);
  }
  return sums;
}
