/** The part of the kill points that every change has to pass. All: `npm run sim -- --kill-points`. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { describeViolations } from '../../src/testing/checkers.ts';
import { type Kill, killAt, killsOf, LAYOUTS, stepsOf, VICTIMS } from './kill-points.ts';

describe('a small job is killed at every step that it takes', () => {
  for (const layout of LAYOUTS)
    test(`state: ${layout}`, async (context) => {
      // Whoever takes a step is killed at every one; of the other victims every eighth place has its turn.
      const kills = killsOf(await stepsOf(layout)).filter(
        ({ victim }, i) => victim === VICTIMS[0] || i % 8 === 0,
      );
      for (const kill of kills) await pass(layout, kill);
      context.diagnostic(`${kills.length} kills`);
    });
});

async function pass(layout: (typeof LAYOUTS)[number], kill: Kill): Promise<void> {
  const { violations } = await killAt(layout, kill);
  const { step, visit, victim } = kill;
  const place = `${step}, visit ${visit}: ${victim} is killed`;
  assert.equal(violations.length, 0, `${layout}: ${place}\n${describeViolations(violations)}`);
}
