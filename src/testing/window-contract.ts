/**
 * Window semantics as tables, run against any state backend.
 *
 * Every case runs four times: on the operator that `createWindowOperator` picks and on the general one, each straight through and with a
 * snapshot and a restore after every step. All four must give what the table says, step by step.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { OneInputOperator } from '../operators/contract.ts';
import { outputTag } from '../operators/output-tag.ts';
import type { AnyWindowAssigner, WindowAssigner } from '../operators/window/assigner.ts';
import { createWindowOperator } from '../operators/window/create-window-operator.ts';
import type { Evictor } from '../operators/window/evictor.ts';
import type { AnyTrigger } from '../operators/window/trigger.ts';
import type {
  AnyProcessWindowFunction,
  WindowContent,
} from '../operators/window/window-function.ts';
import { WindowOperator, type WindowOperatorParams } from '../operators/window/window-operator.ts';
import { TimeWindow, type Window } from '../operators/window/window.ts';
import type { StateBackend } from '../state/keyed-state-backend.ts';
import type { MemoryStore } from '../storage/memory-store.ts';
import { t } from '../types/t.ts';
import { type HarnessSnapshot, KeyedOperatorHarness } from './window-harness.ts';

export type Step =
  | { readonly value: string; readonly timestamp?: number }
  | { readonly watermark: number }
  | { readonly now: number };

/** A record: its key is its first letter. */
export const at = (value: string, timestamp?: number): Step =>
  timestamp === undefined ? { value } : { value, timestamp };
export const watermark = (to: number): Step => ({ watermark: to });
export const now = (to: number): Step => ({ now: to });

export interface WindowCase {
  readonly name: string;
  /** Fresh for every run: a staggered assigner remembers its first record. */
  readonly assigner: () => WindowAssigner<never, Window>;
  readonly trigger?: unknown;
  readonly evictor?: Evictor<string>;
  readonly lateness?: number;
  /** Late records go to a side output (shown as `late x`) instead of being dropped (shown as `dropped`). */
  readonly side?: boolean;
  readonly content?: WindowContent;
  readonly process?: AnyProcessWindowFunction;
  /** Each step with what comes out at it. */
  readonly steps: readonly (readonly [Step, ...string[]])[];
  /** At the end nothing is left in state. */
  readonly leavesNothing?: boolean;
}

export const bounds = (window: Window): string =>
  window instanceof TimeWindow ? `[${window.start},${window.end})` : 'global';

const LATE = outputTag('late', t.string());
export const ELEMENTS: WindowContent = { kind: 'list', schema: t.string() };

/** `key [start,end) elements @timestamp-of-the-result` comes from the window and its content. */
export const show: AnyProcessWindowFunction = {
  process: (key, { window }, elements, out) =>
    out.collect(`${String(key)} ${bounds(window)} ${elements.join('+')}`),
};

function paramsOf(example: WindowCase): WindowOperatorParams {
  const assigner = example.assigner() as unknown as AnyWindowAssigner; // cases feed it strings
  return {
    assigner,
    trigger: (example.trigger as AnyTrigger | undefined) ?? assigner.defaultTrigger,
    content: example.content ?? ELEMENTS,
    window: example.process ?? show,
    keyOf: (value) => (value as string)[0]!,
    allowedLatenessMs: example.lateness ?? 0,
    ...(example.evictor === undefined
      ? {}
      : { evictor: example.evictor as unknown as Evictor<unknown> }),
    ...(example.side === true ? { lateTag: LATE } : {}),
  };
}

interface Mode {
  readonly name: string;
  readonly create: (params: WindowOperatorParams) => OneInputOperator;
  readonly restores: boolean;
}

const general = (params: WindowOperatorParams): OneInputOperator => new WindowOperator(params);
const MODES: readonly Mode[] = [
  { name: 'chosen operator', create: createWindowOperator, restores: false },
  { name: 'general operator', create: general, restores: false },
  { name: 'chosen operator, restored at each step', create: createWindowOperator, restores: true },
  { name: 'general operator, restored at each step', create: general, restores: true },
];

function apply(harness: KeyedOperatorHarness, step: Step): readonly string[] {
  if ('watermark' in step) harness.watermark(step.watermark);
  else if ('now' in step) harness.processingTime(step.now);
  else harness.element(step.value, step.timestamp);
  const late = harness.out.sides.get(LATE.id)?.splice(0) ?? [];
  const dropped = harness.out.counters.get('numLateRecordsDropped') ?? 0;
  harness.out.counters.clear();
  return [
    ...harness.drain().map(({ value }) => String(value)),
    ...late.map(({ value }) => `late ${String(value)}`),
    ...Array.from({ length: dropped }, () => 'dropped'),
  ];
}

/** What the tables are run on. */
export interface WindowBackend {
  readonly backend: (store: MemoryStore) => StateBackend;
  /** Grows with what keyed state holds. Default: the bytes of its snapshot. */
  readonly sizeOf?: (snapshot: HarnessSnapshot) => Promise<number>;
}

const bytesOf = async ({ keyedBytes }: HarnessSnapshot): Promise<number> => keyedBytes;

async function play(
  example: WindowCase,
  { name: mode, create, restores }: Mode,
  { backend, sizeOf = bytesOf }: WindowBackend,
): Promise<void> {
  const params = { backend, operator: () => create(paramsOf(example)) };
  let harness = await KeyedOperatorHarness.open(params);
  const pristine = await sizeOf(await harness.snapshot());
  const seen = { watermark: Number.NEGATIVE_INFINITY, now: 0 };
  for (const [step, ...expected] of example.steps) {
    assert.deepEqual({ mode, step, out: apply(harness, step) }, { mode, step, out: expected });
    Object.assign(seen, step);
    if (!restores) continue;
    const snapshot = await harness.snapshot();
    await harness.close();
    harness = await KeyedOperatorHarness.open(params, snapshot);
    harness.processingTime(seen.now);
    harness.watermark(seen.watermark);
    assert.deepEqual({ mode, step, restored: harness.drain() }, { mode, step, restored: [] });
  }
  if (example.leavesNothing === true) {
    const size = await sizeOf(await harness.snapshot());
    assert.deepEqual({ mode, size }, { mode, size: pristine });
  }
  await harness.close();
}

/** Registers a suite of cases. */
export function windowContract(
  suite: string,
  cases: readonly WindowCase[],
  backend: WindowBackend,
): void {
  describe(suite, () => {
    for (const example of cases) {
      test(example.name, async () => {
        for (const mode of MODES) await play(example, mode, backend);
      });
    }
  });
}
