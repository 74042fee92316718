import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { isMillraceError } from '../base/errors.ts';
import { objectStoreContract } from './object-store-contract.ts';
import { SimBucket } from './sim-store.ts';
import { CALM_STORE } from './sim-store-faults.ts';
import { Simulation } from './simulation.ts';

const bytes = (text: string): Uint8Array => Buffer.from(text);

const over = new AbortController();
after(() => over.abort());

/** Runs the simulation behind promises that the contract suite awaits directly. */
async function pump(sim: Simulation): Promise<void> {
  while (!over.signal.aborted) await sim.run();
}

objectStoreContract('simulated', async () => {
  const sim = new Simulation({ seed: 1 });
  void pump(sim);
  return new SimBucket(sim.scheduler).of(sim.startProcess('user').node);
});

describe('the simulated store', () => {
  test('a lost answer has its effect and looks like a failure', async () => {
    const sim = new Simulation({ seed: 2 });
    const bucket = new SimBucket(sim.scheduler, { ...CALM_STORE, lostAnswerProbability: 1 });
    const store = bucket.of(sim.startProcess('user').node);
    await assert.rejects(sim.settle(store.put('k', bytes('v'))), { kind: 'unavailable' });
    assert.deepEqual(bucket.peek('k'), new Uint8Array(bytes('v')));
  });

  test('a refused request has no effect', async () => {
    const sim = new Simulation({ seed: 3 });
    const bucket = new SimBucket(sim.scheduler, { ...CALM_STORE, refusedProbability: 1 });
    const store = bucket.of(sim.startProcess('user').node);
    await assert.rejects(sim.settle(store.put('k', bytes('v'))), { kind: 'unavailable' });
    assert.equal(bucket.peek('k'), undefined);
  });

  test('what a node sent before it died happens or not, by seed, and the dead never hear of it', async () => {
    const outcomes = new Set<boolean>();
    for (let seed = 0; seed < 20; seed++) {
      const sim = new Simulation({ seed });
      const bucket = new SimBucket(sim.scheduler);
      const { node } = sim.startProcess('user');
      let heard = false;
      void bucket
        .of(node)
        .put('k', bytes('v'))
        .finally(() => (heard = true));
      node.crash();
      await sim.run();
      assert.equal(heard, false);
      outcomes.add(bucket.peek('k') !== undefined);
    }
    assert.equal(outcomes.size, 2);
  });

  test('a zombie loses a compare-and-set that it began before it froze', async () => {
    const sim = new Simulation({ seed: 5 });
    const bucket = new SimBucket(sim.scheduler);
    const zombie = sim.startProcess('zombie');
    const other = sim.startProcess('other');
    const etag = await sim.settle(bucket.of(other.node).put('head', bytes('0')));
    let outcome = '';
    zombie.timers.after(10, () => {
      void bucket
        .of(zombie.node)
        .putIfMatch('head', bytes('zombie'), etag)
        .then((put) => (outcome = put.outcome));
    });
    zombie.node.freeze();
    await sim.run({ maxVirtualMs: 100 });
    await sim.settle(bucket.of(other.node).putIfMatch('head', bytes('other'), etag));
    zombie.node.thaw();
    await sim.run();
    assert.equal(outcome, 'conflict');
    assert.equal(String(Buffer.from(bucket.peek('head')!)), 'other');
  });

  test('faults come at about the stated rates and the audit has every effect', async () => {
    const sim = new Simulation({ seed: 6 });
    const bucket = new SimBucket(sim.scheduler, {
      ...CALM_STORE,
      refusedProbability: 0.1,
      lostAnswerProbability: 0.1,
      stallProbability: 0.01,
      stallMs: 2000,
    });
    const store = bucket.of(sim.startProcess('user').node);
    let failed = 0;
    for (let i = 0; i < 1000; i++) {
      try {
        await sim.settle(store.put(`k${i}`, bytes('v')));
      } catch (error) {
        assert.ok(isMillraceError(error) && error.kind === 'unavailable');
        failed++;
      }
    }
    assert.ok(failed > 130 && failed < 260, String(failed));
    assert.equal(bucket.audit.length, bucket.keys().length);
  });
});
