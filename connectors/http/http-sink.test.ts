/** What each answer of a server means to the sink. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MillraceError } from '../../src/base/errors.ts';
import { jsonMessages } from '../../src/connector/message-format.ts';
import type { HttpAnswer } from './http-exchange.ts';
import { httpSink, submitRequest } from './http-sink.ts';

const REQUEST = {
  url: new URL('http://sink.example/in?token=hidden'),
  method: 'POST',
  headers: {},
  body: Buffer.from('a'),
} as const;

const answered = (answer: Partial<HttpAnswer>) =>
  submitRequest(
    {
      send: async () => ({ status: 200, retryAfterMs: undefined, text: 'why', ...answer }),
      close: async () => {},
    },
    REQUEST,
  );

describe('answers to the HTTP sink', () => {
  for (const status of [200, 201, 204])
    test(`${status} takes the record`, async () =>
      assert.equal(await answered({ status }), undefined));

  for (const status of [408, 425, 429, 500, 503])
    test(`${status} is repeated when the server says`, async () => {
      const retry = await answered({ status, retryAfterMs: 3000 });
      assert.equal(retry?.afterMs, 3000);
      assert.equal(retry?.reason.code, 'HTTP_SINK_UNAVAILABLE');
    });

  for (const status of [301, 400, 401, 404, 422])
    test(`${status} fails for good, with what the server said and without the query`, async () => {
      await assert.rejects(answered({ status }), (error: MillraceError) => {
        assert.equal(error.code, 'HTTP_SINK_REFUSED');
        assert.equal(error.details['permanent'], true);
        assert.match(error.message, /POST http:\/\/sink\.example\/in was answered \d+: why/);
        return true;
      });
    });

  test('no answer is repeated', async () => {
    const reason = new MillraceError('unavailable', 'HTTP_UNREACHABLE', 'nobody');
    const send = (): Promise<never> => Promise.reject(reason);
    assert.deepEqual(await submitRequest({ send, close: async () => {} }, REQUEST), { reason });
  });

  test('options that cannot work are refused', () => {
    const format = jsonMessages();
    for (const bad of [
      { url: 'ftp://x' },
      { url: 'x' },
      { url: 'http://x', requestsInFlightMax: 0 },
    ])
      assert.throws(() => httpSink({ format, ...bad }), { code: 'BAD_HTTP_SINK' });
  });
});
