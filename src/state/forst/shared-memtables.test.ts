import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryStore } from '../../storage/memory-store.ts';
import { forstInMemory, keyedParamsIn } from '../../testing/forst-testing.ts';
import { t } from '../../types/t.ts';
import { valueState } from '../descriptor.ts';

const OPERATORS = 8;
const MEMTABLE_BYTES = 4096;
/** Of all trees of a worker. */
const MEMTABLES_MOST = 4 * MEMTABLE_BYTES;
const BATCH = 10;
const SIGNAL = new AbortController().signal;

test('what many operators of a worker have not written out stays within what one of them may hold', async () => {
  const store = new MemoryStore();
  // Whatever is written leaves for the memtables at once.
  const backend = forstInMemory(store, { cacheBytes: 0, memtableBytes: MEMTABLE_BYTES });
  const gauges: (() => number)[] = [];
  const open = async (_: unknown, i: number) => {
    const keyed = await backend.createKeyed(
      keyedParamsIn(store, { operatorId: `operator${i}`, attemptId: `attempt${i}` }),
    );
    keyed.registerMetrics?.({
      gauge: (name, value) => {
        if (name.endsWith('cur-size-all-mem-tables')) gauges.push(value as () => number);
      },
    });
    return { keyed, value: keyed.getState('value', valueState(t.string())) };
  };
  const operators = await Promise.all(Array.from({ length: OPERATORS }, open));
  const held = (): number => gauges.reduce((sum, gauge) => sum + gauge(), 0);
  let most = 0;
  for (let key = 0; key < 400; key += BATCH)
    for (const { keyed, value } of operators) {
      if (keyed.residency!.overloaded) await keyed.residency!.load(SIGNAL);
      for (let i = 0; i < BATCH; i++) {
        keyed.setCurrentKey(key + i);
        value.value = `value ${key + i}`;
      }
      keyed.residency!.trim();
      most = Math.max(most, held());
    }
  assert.equal(gauges.length, OPERATORS);
  assert.ok(most > MEMTABLES_MOST / 2, `${most} bytes`);
  assert.ok(most < MEMTABLES_MOST + BATCH * 100, `${most} bytes`);
  for (const { keyed, value } of operators) {
    keyed.setCurrentKey(7);
    while (!value.prepare()) await keyed.residency!.load(SIGNAL);
    assert.equal(value.value, 'value 7');
    await keyed.close();
  }
  await backend.close?.();
});
