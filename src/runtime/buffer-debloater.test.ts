import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BATCH_SIZE_MAX } from '../types/record-batch.ts';
import { BufferDebloater } from './buffer-debloater.ts';
import { CREDITS } from './channel.ts';

const OPTIONS = { targetMs: 1000, periodMs: 200, samples: 1, thresholdPercentages: 25 };

describe('the size of batches', () => {
  const CASES: readonly {
    what: string;
    channels?: number;
    records: number;
    workedMs?: number;
    size: number;
  }[] = [
    { what: 'is what the target time allows', records: 160, size: 200 },
    { what: 'is shared by the channels', channels: 10, records: 160, size: 20 },
    { what: 'counts only time in which there was input', records: 160, workedMs: 100, size: 400 },
    { what: 'is one record at least', records: 0, size: 1 },
    { what: 'is a full batch at most', records: 1_000_000, size: BATCH_SIZE_MAX },
  ];
  for (const { what, channels = 1, records, workedMs = 200, size } of CASES)
    test(what, () => {
      const debloater = new BufferDebloater(OPTIONS, channels);
      debloater.observe(records, workedMs);
      assert.equal(debloater.size, size);
    });

  test('small changes are left out, larger ones and the bounds are not', () => {
    const debloater = new BufferDebloater(OPTIONS, 1);
    const sizes = [160, 190, 200, 160, 130, 118, 0].map((records) =>
      debloater.observe(records, 200),
    );
    assert.deepEqual(sizes, [200, undefined, 250, undefined, 162, undefined, 1]);
  });

  test('a single burst counts little among many samples', () => {
    const debloater = new BufferDebloater({ ...OPTIONS, samples: 19 }, 1);
    debloater.observe(160, 200);
    assert.equal(debloater.observe(1600, 200), 380, 'a tenth of the way');
  });

  test('what the channels hold then takes the target time', () => {
    const debloater = new BufferDebloater(OPTIONS, 3);
    debloater.observe(CREDITS * 3 * 50, 200);
    assert.deepEqual([debloater.size, debloater.estimatedMs], [250, 1000]);
  });

  test('a period without work says nothing', () => {
    const debloater = new BufferDebloater(OPTIONS, 1);
    assert.equal(debloater.observe(0, 0), undefined);
    assert.equal(debloater.size, BATCH_SIZE_MAX);
  });
});
