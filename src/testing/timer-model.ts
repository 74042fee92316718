/** Timers of any state backend against a plain set: part of `state-backend-contract.ts`. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { InternalTimerService, KeyedStateBackend } from '../state/keyed-state-backend.ts';
import type { KeyedStateHandle } from '../state/snapshot.ts';
import { MemoryStore } from '../storage/memory-store.ts';
import { t } from '../types/t.ts';

interface TimerModelParams {
  readonly open: (opened: {
    readonly store: MemoryStore;
    readonly index: number;
    readonly parallelism: number;
    readonly restore: readonly KeyedStateHandle[];
  }) => Promise<KeyedStateBackend>;
  readonly snapshot: (
    backend: KeyedStateBackend,
    store: MemoryStore,
    id: number,
  ) => Promise<KeyedStateHandle>;
  readonly subtaskOf: (key: string, parallelism: number) => number;
}

interface TimedSubtask {
  readonly backend: KeyedStateBackend;
  readonly timers: InternalTimerService<number>;
  readonly fired: string[];
}

const TIMER = {
  domain: fc.constantFrom('event' as const, 'processing' as const),
  key: fc.integer({ min: 0, max: 60 }).map((n) => `k${n}`),
  namespace: fc.integer({ min: 0, max: 1 }),
  inMs: fc.oneof(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: 60 })),
};
const OPERATION = fc.oneof(
  { weight: 12, arbitrary: fc.record({ type: fc.constant('register' as const), ...TIMER }) },
  { weight: 4, arbitrary: fc.record({ type: fc.constant('delete' as const), ...TIMER }) },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('advance' as const),
      domain: TIMER.domain,
      byMs: fc.integer({ min: 0, max: 12 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('trim' as const) }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('turn' as const) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('snapshot' as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constant('restore' as const),
      parallelism: fc.integer({ min: 1, max: 3 }),
    }),
  },
);

type Operation = typeof OPERATION extends fc.Arbitrary<infer T> ? T : never;
type Change = Extract<Operation, { type: 'register' | 'delete' }>;

type Domain = 'event' | 'processing';

/** Fires what is due, a few at a time, in order. */
async function advance(
  { backend, fired }: TimedSubtask,
  domain: Domain,
  now: number,
): Promise<readonly string[]> {
  fired.length = 0;
  for (;;) {
    const progress =
      domain === 'event' ? backend.advanceWatermark(now, 3) : backend.advanceProcessingTime(now, 3);
    if (progress === 'done') break;
    if (progress === 'load') await backend.residency!.load(new AbortController().signal);
    else backend.residency?.trim();
  }
  const times = fired.map(timestampOf);
  assert.deepEqual(
    times,
    times.toSorted((a, b) => a - b),
  );
  return [...fired];
}

const timestampOf = (line: string): number => Number(line.split('@')[1]);

/** The subtasks under test, and what they should hold. */
class TimedJob {
  readonly #params: TimerModelParams;
  readonly #store = new MemoryStore();
  readonly #model = { event: new Set<string>(), processing: new Set<string>() };
  readonly #now = { event: 0, processing: 0 };
  readonly #pending: Promise<KeyedStateHandle>[] = [];
  #parallelism = 1;
  #snapshots = 0;
  #subtasks: readonly TimedSubtask[] = [];

  constructor(params: TimerModelParams) {
    this.#params = params;
  }

  async open(restore: readonly KeyedStateHandle[]): Promise<void> {
    const parallelism = this.#parallelism;
    this.#subtasks = await Promise.all(
      Array.from({ length: parallelism }, async (_, index) => {
        const store = this.#store;
        const backend = await this.#params.open({ store, index, parallelism, restore });
        const fired: string[] = [];
        const record = (timestamp: number, namespace: number): number =>
          fired.push(`${String(backend.currentKey)}/${namespace}@${timestamp}`);
        const target = { onEventTime: record, onProcessingTime: record };
        return { backend, timers: backend.getTimerService('t', t.int32(), target), fired };
      }),
    );
  }

  change({ type, domain, key, namespace, inMs }: Change): void {
    const timestamp = this.#now[domain] + inMs;
    const line = `${key}/${namespace}@${timestamp}`;
    const subtask = this.#subtasks[this.#params.subtaskOf(key, this.#parallelism)]!;
    subtask.backend.setCurrentKey(key);
    const kind = domain === 'event' ? 'EventTimeTimer' : 'ProcessingTimeTimer';
    subtask.timers[`${type}${kind}`](namespace, timestamp);
    this.#model[domain][type === 'register' ? 'add' : 'delete'](line);
  }

  async advance(domain: Domain, byMs: number): Promise<void> {
    const now = (this.#now[domain] += byMs);
    const fired: string[] = [];
    for (const subtask of this.#subtasks) fired.push(...(await advance(subtask, domain, now)));
    const due = [...this.#model[domain]].filter((line) => timestampOf(line) <= now);
    assert.deepEqual(fired.toSorted(), due.toSorted());
    for (const line of due) this.#model[domain].delete(line);
  }

  trim(): void {
    for (const { backend } of this.#subtasks) backend.residency?.trim();
  }

  snapshot(): void {
    for (const { backend } of this.#subtasks)
      this.#pending.push(this.#params.snapshot(backend, this.#store, ++this.#snapshots));
  }

  async restore(parallelism: number): Promise<void> {
    await Promise.all(this.#pending.splice(0));
    this.snapshot();
    const handles = await Promise.all(this.#pending.splice(0));
    this.#parallelism = parallelism;
    await this.open(handles);
  }
}

async function run(job: TimedJob, step: Operation): Promise<void> {
  switch (step.type) {
    case 'register':
    case 'delete':
      return job.change(step);
    case 'advance':
      return job.advance(step.domain, step.byMs);
    case 'trim':
      return job.trim();
    case 'turn':
      for (let i = 0; i < 5; i++) await Promise.resolve();
      return;
    case 'snapshot':
      return job.snapshot();
    case 'restore':
      return job.restore(step.parallelism);
  }
}

/** Registers them. */
export function timerModelTests(params: TimerModelParams): void {
  test('any history of timers equals a plain set', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(OPERATION, { maxLength: 160, size: 'max' }), async (operations) => {
        const job = new TimedJob(params);
        await job.open([]);
        for (const step of operations) await run(job, step);
        for (const domain of ['event', 'processing'] as const) await job.advance(domain, 1e6);
      }),
      { numRuns: 100 },
    );
  });
}
