/** The sink's logic against a scripted server in virtual time. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MillraceError } from '../../src/base/errors.ts';
import { Simulation } from '../../src/testing/simulation.ts';
import type { HttpAnswer, HttpExchange, HttpRequest } from './http-exchange.ts';
import { HttpWriter } from './http-writer.ts';

type Step = number | 'silent' | HttpAnswer;

class Stage {
  readonly sim = new Simulation({ seed: 3 });
  readonly world = this.sim.startProcess('writer');
  readonly taken: string[] = [];
  readonly sentAtMs: number[] = [];
  mostInFlight = 0;
  readonly writer: HttpWriter<string>;

  /** What each try is answered, by body; after its script every try is answered 200. */
  constructor(script: Readonly<Record<string, readonly Step[]>>, requestsInFlightMax = 4) {
    const tries = new Map<string, number>();
    let inFlight = 0;
    const exchange: HttpExchange = {
      send: async ({ body }) => {
        const text = Buffer.from(body).toString();
        const n = tries.get(text) ?? 0;
        tries.set(text, n + 1);
        this.sentAtMs.push(this.world.clock.monotonicMs());
        this.mostInFlight = Math.max(this.mostInFlight, ++inFlight);
        await new Promise<void>((resolve) => this.world.timers.after(5, resolve));
        inFlight--;
        const step = script[text]?.[n] ?? 200;
        if (step === 'silent')
          throw new MillraceError('unavailable', 'HTTP_UNREACHABLE', 'no answer');
        const answer =
          typeof step === 'number' ? { status: step, retryAfterMs: undefined, text: 'why' } : step;
        if (answer.status < 300) this.taken.push(text);
        return answer;
      },
      close: async () => {},
    };
    const requestOf = (value: string): HttpRequest => ({
      url: new URL('http://sink.example/in'),
      method: 'POST',
      headers: {},
      body: Buffer.from(value),
    });
    this.writer = new HttpWriter(
      { requestOf, requestsInFlightMax, unavailableTimeoutMs: 5000 },
      exchange,
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
}

describe('the HTTP sink', () => {
  test('flush waits until everything is taken; failures and throttling are repeated', async () => {
    const stage = new Stage({ a: [503, 'silent', 429], b: [408, 500] });
    await stage.deliver('a', 'b', 'c');
    assert.deepEqual([...stage.taken].sort(), ['a', 'b', 'c']);
  });

  test('one request at a time keeps the order', async () => {
    const stage = new Stage({ a: [503, 503], c: ['silent'] }, 1);
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

  test('retry-after is respected', async () => {
    const stage = new Stage({ a: [{ status: 429, retryAfterMs: 3000, text: '' }] });
    await stage.deliver('a');
    assert.ok(stage.sentAtMs[1]! - stage.sentAtMs[0]! >= 3000);
  });

  for (const status of [301, 400, 401, 404, 422])
    test(`${status} fails for good, with what the server said`, async () => {
      const stage = new Stage({ a: [status] });
      await assert.rejects(stage.deliver('a'), (error: MillraceError) => {
        assert.equal(error.code, 'HTTP_SINK_REFUSED');
        assert.equal(error.details['permanent'], true);
        assert.match(error.message, /http:\/\/sink\.example\/in .* why/);
        return true;
      });
      await assert.rejects(stage.settle(stage.writer.flush()), { code: 'HTTP_SINK_REFUSED' });
    });

  test('a server that stays away fails the job in time', async () => {
    const stage = new Stage({ a: Array.from({ length: 1000 }, () => 'silent' as const) });
    await assert.rejects(stage.deliver('a'), {
      code: 'HTTP_SINK_UNAVAILABLE',
      kind: 'unavailable',
    });
    assert.ok(stage.world.clock.monotonicMs() - stage.sentAtMs[0]! <= 5000);
  });

  test('closing ends the waits', async () => {
    const stage = new Stage({ a: Array.from({ length: 1000 }, () => 503) });
    await stage.settle(stage.writer.write({ values: ['a'], timestamps: null }));
    await stage.settle(stage.writer.close());
    await stage.settle(stage.writer.flush());
    assert.deepEqual(stage.taken, []);
  });
});
