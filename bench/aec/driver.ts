/** Drives a keyed operator as a task does, batch by batch, on the clock of this thread. */
import type { OneInputOperator } from '../../src/operators/contract.ts';
import { AsyncState, type Marker } from '../../src/runtime/async-state.ts';
import type { ControllerTarget } from '../../src/state/async-execution-controller.ts';
import type { Residency } from '../../src/state/keyed-state-backend.ts';
import { batchCodec } from '../../src/types/batch-codec.ts';
import { BATCH_SIZE_MAX, type RecordBatch } from '../../src/types/record-batch.ts';
import { t } from '../../src/types/t.ts';

/**
 * The time here is CPU time of this thread, which spins where it would wait: what else the machine does changes no figure, and a latency of
 * 23 ms is the work that one processor does in 23 ms.
 *
 * Linux brings a thread's time up to date when the scheduler runs, up to four milliseconds apart, and when that of the process is asked for.
 */
export function readClock(): number {
  process.cpuUsage();
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

/** As of the last turn: asking costs some microseconds. */
let turnMs = 0;
export const nowMs = (): number => turnMs;

export const turn = (): Promise<void> =>
  new Promise((resolve) => {
    setImmediate(() => {
      turnMs = readClock();
      resolve();
    });
  });

export interface Driven {
  readonly operator: OneInputOperator;
  readonly residency: Residency;
  readonly oneByOne?: boolean;
}

export function openState({ operator, residency, oneByOne = false }: Driven): AsyncState {
  return new AsyncState({
    target: {
      prepare: (_input, batch, gate) => operator.prepareBatch!(batch, gate),
      process: (_input, batch) => operator.processBatch(batch),
      processRest: restOf(operator),
      available: () => true,
      oneByOne,
      overtakes: !oneByOne && operator.ignoresWatermarks === true,
      apply: () => 'done',
    },
    residency,
    identify: (key) => key,
    keyGroupOf: () => 0,
    codecOf: () => batchCodec<unknown>(t.int32() as never), // the records are integers
    config: {},
    metrics: { counter: () => ({ inc: () => {} }), gauge: () => {} },
    clock: { wallMs: () => Date.now(), monotonicMs: nowMs },
    wake: () => {},
    fail: (error) => {
      throw error;
    },
    signal: new AbortController().signal,
  });
}

/** In batches as a task takes them. */
export function batchesOf(records: number, valueAt: (i: number) => number): RecordBatch<unknown>[] {
  const batches: RecordBatch<unknown>[] = [];
  for (let from = 0; from < records; from += BATCH_SIZE_MAX)
    batches.push({
      values: Array.from({ length: BATCH_SIZE_MAX }, (_, i) => valueAt(from + i)),
      timestamps: null,
    });
  return batches;
}

/** Numbers from one to before another in random order; always the same orders, one after the other. */
export function shuffler(): (from: number, to: number) => readonly number[] {
  let random = 7;
  return (from, to) => {
    const numbers = Array.from({ length: to - from }, (_, i) => from + i);
    for (let i = numbers.length - 1; i > 0; i--) {
      random = (Math.imul(random, 1_664_525) + 1_013_904_223) >>> 0;
      const other = Math.floor((random / 2 ** 32) * (i + 1));
      [numbers[i], numbers[other]] = [numbers[other]!, numbers[i]!];
    }
    return numbers;
  };
}

const restOf = (operator: OneInputOperator): ControllerTarget<Marker>['processRest'] =>
  operator.processRest === undefined
    ? undefined
    : (_input, batch, left) => operator.processRest!(batch, left);
