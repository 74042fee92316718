/** Asynchronous I/O: order, capacity, timeouts, retries. Completions are driven by hand. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { t } from '../../src/index.ts';
import { type Row, run, table } from './run.ts';

const text = t.string();
const rows: readonly Row<string>[] = [
  ['slow', 1],
  ['fast', 2],
  ['next', 3],
];

/** Resolves after so many turns of the promise queue: an order of completion without a clock. */
async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await Promise.resolve();
}

/** 'slow' answers last. */
const call = async (value: string): Promise<readonly string[]> => {
  await turns(value === 'slow' ? 400 : 1);
  return [value.toUpperCase()];
};

describe('asynchronous I/O', () => {
  test('ordered keeps the order of the stream', async () => {
    assert.deepEqual(
      await run((env) => table(env, rows, text).asyncMap(call, { timeout: '10 s' }, text)),
      ['SLOW', 'FAST', 'NEXT'],
    );
  });

  test('unordered emits what is ready first', async () => {
    const all: Row<string>[] = rows.filter((row) => !('watermark' in row));
    const out = await run((env) =>
      env
        .fromCollection(
          all.map((row) => (row as readonly [string, number])[0]),
          text,
        )
        .asyncMap(call, { timeout: '10 s', mode: 'unordered' }, text),
    );
    assert.equal(out.at(-1), 'SLOW');
    assert.deepEqual(out.toSorted(), ['FAST', 'NEXT', 'SLOW']);
  });

  test('unordered results do not overtake a watermark', async () => {
    const out = await run((env) =>
      table(env, [['slow', 1], { watermark: 1 }, ['fast', 2]], text).asyncMap(
        call,
        { timeout: '10 s', mode: 'unordered' },
        text,
      ),
    );
    assert.deepEqual(out, ['SLOW', 'FAST']);
  });

  test('no more than capacity calls run at a time', async () => {
    let running = 0;
    let most = 0;
    const values = Array.from({ length: 50 }, (_, i) => `v${i}`);
    const out = await run((env) =>
      env.fromCollection(values, text).asyncMap(
        async (value) => {
          running++;
          most = Math.max(most, running);
          await turns(value.length * 7);
          running--;
          return [value];
        },
        { timeout: '10 s', capacity: 4 },
        text,
      ),
    );
    assert.deepEqual(out, values);
    assert.equal(most, 4);
  });

  test('a call may yield none or many', async () => {
    const out = await run((env) =>
      env
        .fromElements(0, 1, 3)
        .asyncMap(async (n) => Array.from({ length: n }, () => n), { timeout: '1 s' }),
    );
    assert.deepEqual(out, [1, 3, 3, 3]);
  });

  test('a timed-out record yields what onTimeout says, and its signal is aborted', async () => {
    let aborted = false;
    const out = await run((env) =>
      env.fromElements('hangs', 'works').asyncMap(
        (value, signal) =>
          value === 'works'
            ? Promise.resolve([value])
            : new Promise<string[]>((_resolve, reject) => {
                signal.addEventListener('abort', () => {
                  aborted = true;
                  reject(signal.reason as Error);
                });
              }),
        { timeout: 20, onTimeout: (value) => [`${value}?`] },
      ),
    );
    assert.deepEqual(out, ['hangs?', 'works']);
    assert.equal(aborted, true);
  });

  test('without onTimeout a timeout fails the job by name', async () => {
    await assert.rejects(
      run((env) =>
        env.fromElements('hangs').asyncMap(() => new Promise<string[]>(() => {}), { timeout: 10 }),
      ),
      { code: 'ASYNC_TIMEOUT', message: /async-wait/ },
    );
  });

  test('errors and unwanted results are retried with backoff', async () => {
    const tries = new Map<string, number>();
    const out = await run((env) =>
      env.fromElements('error', 'empty').asyncMap(
        async (value) => {
          const attempt = (tries.get(value) ?? 0) + 1;
          tries.set(value, attempt);
          if (value === 'error' && attempt < 3) throw new Error('not yet');
          return value === 'empty' && attempt < 2 ? [] : [`${value} after ${attempt}`];
        },
        {
          timeout: '5 s',
          retry: {
            attemptsMax: 5,
            delayMs: 1,
            backoffFactor: 2,
            onResult: (results) => results.length === 0,
          },
        },
      ),
    );
    assert.deepEqual(out, ['error after 3', 'empty after 2']);
  });

  test('the last error is reported with the operator', async () => {
    const failing = run((env) =>
      env.fromElements('x').asyncMap<string>(() => Promise.reject(new Error('no such host')), {
        timeout: '1 s',
        retry: { attemptsMax: 2, delayMs: 1 },
      }),
    );
    await assert.rejects(failing, {
      code: 'USER_CODE_FAILED',
      message: /async-wait.*no such host/s,
    });
  });
});
