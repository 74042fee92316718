import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { InFlightWindow } from './in-flight-window.ts';

/** A round trip in which so many keys were left at the fewest. */
function roundTrip(window: InFlightWindow, fewestLeft: number): void {
  const load = {};
  window.began(load, 10_000);
  window.began({}, 0);
  window.ran(fewestLeft);
  window.ended({});
  window.ended(load);
}

/** The largest number in flight at which a further batch is admitted although something is left to be run. */
function sizeOf(window: InFlightWindow): number {
  let size = 0;
  while (window.admits(size, 1)) size += 100;
  return size;
}

describe('the window of records in flight', () => {
  test('admits whatever comes while nothing is left to be run', () => {
    assert.equal(new InFlightWindow().admits(1e9, 0), true);
    assert.equal(new InFlightWindow().admits(1, 1), false);
  });

  const grown = (): InFlightWindow => {
    const window = new InFlightWindow();
    window.starved(8000);
    window.starved(4000);
    return window;
  };

  for (const { fewestLeft, size, what } of [
    { fewestLeft: 0, size: 8000, what: 'nothing when there was nothing left once' },
    { fewestLeft: 1000, size: 8000, what: 'nothing of the reserve of an eighth' },
    { fewestLeft: 1400, size: 7600, what: 'what was never needed' },
    { fewestLeft: 6000, size: 7000, what: 'an eighth at most' },
  ]) {
    test(`a round trip takes off ${what}`, () => {
      const window = grown();
      roundTrip(window, fewestLeft);
      assert.equal(sizeOf(window), size);
    });
  }

  test('one round trip is measured at a time, and each anew', () => {
    const window = grown();
    roundTrip(window, 0);
    roundTrip(window, 1400);
    assert.equal(sizeOf(window), 7600);
  });
});
