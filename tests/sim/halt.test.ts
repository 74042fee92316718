/** Jobs that are stopped with a checkpoint again and again and go on, among all the faults there are: no record is lost, none is published twice. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeViolations } from '../../src/testing/checkers.ts';
import type { Scene } from './scenario.ts';
import { drawSettings } from './settings.ts';
import { simulate } from './job-sim.ts';

const SEEDS = 2;
const EVERY_MS = 300;
const STOPS_MAX = 20;

test('halts that complete or are interrupted change no result', async () => {
  let halted = 0;
  let interrupted = 0;
  const stage = ({ sim, main }: Scene): void => {
    const halt = (left: number): void => {
      const { master } = main.job;
      master?.halt().then(
        () => {
          halted++;
          sim.at(20, 'resumes', () => master.resume());
        },
        () => interrupted++,
      );
      if (left > 0) sim.at(EVERY_MS, 'halts', () => halt(left - 1));
    };
    sim.at(EVERY_MS, 'halts', () => halt(STOPS_MAX));
  };
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { violations } = await simulate({
      seed,
      scenario: { name: 'halts', title: 'halts', settings: drawSettings, stage, meets: [] },
    });
    assert.equal(violations.length, 0, `seed ${seed}: ${describeViolations(violations)}`);
  }
  assert.ok(halted > SEEDS, `${halted} halts, ${interrupted} interrupted`);
});
