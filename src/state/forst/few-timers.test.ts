import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LsmTree } from '../../lsm/lsm-tree.ts';
import { MemoryStore } from '../../storage/memory-store.ts';
import { forstInMemory, keyedParamsIn } from '../../testing/forst-testing.ts';
import { t } from '../../types/t.ts';

const SIGNAL = new AbortController().signal;
const TIMERS = 200;

test('with memory for one timer, several are read at a time', async (context) => {
  const scan = context.mock.method(LsmTree.prototype, 'scanRange');
  const store = new MemoryStore();
  const backend = await forstInMemory(store, { timersMost: 1 }).createKeyed(keyedParamsIn(store));
  const fired: number[] = [];
  const timers = backend.getTimerService('timers', t.int32(), {
    onEventTime: (timestamp) => fired.push(timestamp),
    onProcessingTime: () => {},
  });
  const { residency } = backend;
  for (let i = 0; i < TIMERS; i++) {
    backend.setCurrentKey((i * 7) % TIMERS);
    timers.registerEventTimeTimer(0, (i * 13) % TIMERS);
    residency!.trim();
  }
  while (backend.advanceWatermark(TIMERS, TIMERS) !== 'done') {
    await residency!.load(SIGNAL);
    residency!.trim();
  }
  assert.deepEqual(
    fired,
    Array.from({ length: TIMERS }, (_, i) => i),
  );
  const reads = scan.mock.callCount();
  assert.ok(reads > 0 && reads < TIMERS / 3, `${reads} reads`);
  await backend.close();
});
