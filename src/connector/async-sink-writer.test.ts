/** Records and their requests against a scripted outside, in virtual time. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MillraceError } from '../base/errors.ts';
import { Simulation } from '../testing/simulation.ts';
import { AsyncSinkWriter, type RetryLater } from './async-sink-writer.ts';

type Step = 'refuse' | 'busy' | { readonly afterMs: number };

class Stage {
  readonly sim = new Simulation({ seed: 3 });
  readonly world = this.sim.startProcess('writer');
  readonly taken: string[] = [];
  readonly sentAtMs: number[] = [];
  mostInFlight = 0;
  readonly writer: AsyncSinkWriter<string>;
  readonly #script: Readonly<Record<string, readonly Step[]>>;
  readonly #tries = new Map<string, number>();
  #inFlight = 0;

  /** What each try meets, by record; after its script every try is taken. */
  constructor(script: Readonly<Record<string, readonly Step[]>>, requestsInFlightMax = 4) {
    this.#script = script;
    const close = async (): Promise<void> => {};
    this.writer = new AsyncSinkWriter(
      {
        submit: (value) => this.#submit(value),
        requestsInFlightMax,
        unavailableTimeoutMs: 5000,
        close,
      },
      this.world,
    );
  }

  settle<T>(promise: Promise<T>): Promise<T> {
    return this.sim.settle(promise, { maxVirtualMs: 60_000 });
  }

  async deliver(...values: string[]): Promise<void> {
    await this.settle(this.writer.write({ values, timestamps: null }));
    await this.settle(this.writer.flush());
  }

  async #submit(value: string): Promise<RetryLater | undefined> {
    const tried = this.#tries.get(value) ?? 0;
    this.#tries.set(value, tried + 1);
    this.sentAtMs.push(this.world.clock.monotonicMs());
    this.mostInFlight = Math.max(this.mostInFlight, ++this.#inFlight);
    await new Promise<void>((resolve) => this.world.timers.after(5, resolve));
    this.#inFlight--;
    const step = this.#script[value]?.[tried];
    if (step === 'refuse') throw new MillraceError('data', 'REFUSED', 'no');
    if (step === undefined) {
      this.taken.push(value);
      return undefined;
    }
    const reason = new MillraceError('unavailable', 'BUSY', 'later');
    return step === 'busy' ? { reason } : { reason, afterMs: step.afterMs };
  }
}

describe('records that are sent by asynchronous requests', () => {
  test('flush waits until everything is taken, whatever has to be repeated', async () => {
    const stage = new Stage({ a: ['busy', 'busy', 'busy'], b: ['busy', 'busy'] });
    await stage.deliver('a', 'b', 'c');
    assert.deepEqual([...stage.taken].sort(), ['a', 'b', 'c']);
  });

  test('one request at a time keeps the order', async () => {
    const stage = new Stage({ a: ['busy', 'busy'], c: ['busy'] }, 1);
    await stage.deliver('a', 'b', 'c', 'd');
    assert.deepEqual(stage.taken, ['a', 'b', 'c', 'd']);
    assert.equal(stage.mostInFlight, 1);
  });

  test('no more requests are under way than allowed', async () => {
    const stage = new Stage({}, 3);
    await stage.deliver(...Array.from({ length: 20 }, (_, i) => `${i}`));
    assert.equal(stage.mostInFlight, 3);
    assert.equal(stage.taken.length, 20);
  });

  test('a wait that is asked for is respected', async () => {
    const stage = new Stage({ a: [{ afterMs: 3000 }] });
    await stage.deliver('a');
    assert.ok(stage.sentAtMs[1]! - stage.sentAtMs[0]! >= 3000);
  });

  test('a refusal fails what is written and flushed from then on', async () => {
    const stage = new Stage({ a: ['refuse'] });
    await assert.rejects(stage.deliver('a'), { code: 'REFUSED' });
    await assert.rejects(stage.deliver('b'), { code: 'REFUSED' });
    assert.deepEqual(stage.taken, []);
  });

  test('what stays away for too long fails with its last reason, in time', async () => {
    const stage = new Stage({ a: Array.from({ length: 1000 }, () => 'busy' as const) });
    await assert.rejects(stage.deliver('a'), { code: 'BUSY', kind: 'unavailable' });
    assert.ok(stage.world.clock.monotonicMs() - stage.sentAtMs[0]! <= 5000);
  });

  test('closing ends the waits', async () => {
    const stage = new Stage({ a: Array.from({ length: 1000 }, () => 'busy' as const) });
    await stage.settle(stage.writer.write({ values: ['a'], timestamps: null }));
    await stage.settle(stage.writer.close());
    await stage.settle(stage.writer.flush());
    assert.deepEqual(stage.taken, []);
  });
});
