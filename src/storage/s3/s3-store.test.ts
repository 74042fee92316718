import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer as createHttpServer, type RequestListener } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { after, describe, test } from 'node:test';
import type { MillraceError } from '../../base/errors.ts';
import { isMissing, reportMissing } from '../../../scripts/services/service.ts';
import { startS3 } from '../../../scripts/services/s3.ts';
import { objectStoreContract } from '../../testing/object-store-contract.ts';
import { S3Store } from './s3-store.ts';

const OPTIONS = {
  region: 'us-east-1',
  bucket: 'bucket',
  credentials: { accessKeyId: 'somebody', secretAccessKey: 'open-sesame' },
  wallMs: () => 0,
};

interface Answering {
  readonly endpoint: string;
  stop(): void;
}

/** A server that answers as it is told. */
async function answering(
  answer: RequestListener,
  tls?: { readonly key: string; readonly cert: string },
): Promise<Answering> {
  const server = tls === undefined ? createHttpServer(answer) : createTlsServer(tls, answer);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // of a TCP server
  return {
    endpoint: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`,
    stop: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

const errorBody = (code: string): string => `<Error><Code>${code}</Code></Error>`;

describe('the S3 driver', () => {
  test('trusts a certificate authority that it is given, and no other', async () => {
    const folder = mkdtempSync(`${tmpdir()}/millrace-tls-`);
    const [key, cert] = [`${folder}/key.pem`, `${folder}/cert.pem`];
    execFileSync(
      'openssl',
      [
        ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
        ...['-keyout', key, '-out', cert, '-days', '2', '-subj', '/CN=test'],
        ...['-addext', 'subjectAltName=IP:127.0.0.1'],
      ],
      { stdio: 'ignore' },
    );
    const pems = { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') };
    rmSync(folder, { recursive: true });
    const server = await answering((_, response) => response.end('hello'), pems);
    const trusting = new S3Store({ ...OPTIONS, endpoint: server.endpoint, ca: pems.cert });
    assert.equal(Buffer.from(await trusting.get('k')).toString(), 'hello');
    const other = new S3Store({ ...OPTIONS, endpoint: server.endpoint });
    await assert.rejects(other.get('k'), { code: 'S3_UNREACHABLE' });
    await Promise.all([trusting.close(), other.close()]);
    server.stop();
  });

  test('passes on how long a store that throttles asks to wait', async () => {
    const server = await answering((_, response) => {
      response.writeHead(503, { 'retry-after': '2' }).end(errorBody('SlowDown'));
    });
    const store = new S3Store({ ...OPTIONS, endpoint: server.endpoint });
    await assert.rejects(store.get('k'), (error: MillraceError) => {
      assert.deepEqual([error.kind, error.code], ['unavailable', 'S3_THROTTLED']);
      assert.equal(error.details['retryAfterMs'], 2000);
      return true;
    });
    await store.close();
    server.stop();
  });

  test('asks again while a conditional write is undecided', async () => {
    let asked = 0;
    const server = await answering((request, response) => {
      request.resume();
      if (++asked < 3) response.writeHead(409).end(errorBody('ConditionalRequestConflict'));
      else response.writeHead(200, { etag: '"e"' }).end();
    });
    const store = new S3Store({ ...OPTIONS, endpoint: server.endpoint });
    const put = await store.putIfAbsent('k', Buffer.from('x'));
    assert.deepEqual(put, { outcome: 'stored', etag: '"e"' });
    await store.close();
    server.stop();
  });

  for (const [what, range, body] of [
    ['too few bytes', 'bytes 2-3/9', 'cd'],
    ['another place of the object', 'bytes 4-6/9', 'efg'],
  ] as const)
    test(`does not take ${what} for the range that was asked for`, async () => {
      const server = await answering((request, response) => {
        request.resume();
        response.writeHead(206, { 'content-range': range }).end(body);
      });
      const store = new S3Store({ ...OPTIONS, endpoint: server.endpoint });
      const read = store.get('k', { offset: 2, length: 3 });
      await assert.rejects(read, { kind: 'unavailable', code: 'S3_BAD_ANSWER' });
      await store.close();
      server.stop();
    });

  test('takes an upload that ends with 200 and an error for failed, and gives it up', async () => {
    const asked: string[] = [];
    const server = await answering((request, response) => {
      request.resume();
      asked.push(request.method!);
      const { searchParams } = new URL(request.url!, 'http://host');
      if (searchParams.has('uploads')) response.end('<UploadId>u</UploadId>');
      else if (request.method === 'POST') response.end(errorBody('InternalError'));
      else response.writeHead(200, { etag: '"part"' }).end();
    });
    const store = new S3Store({ ...OPTIONS, endpoint: server.endpoint });
    await assert.rejects(store.put('k', Buffer.alloc(64 << 20)), { kind: 'unavailable' });
    assert.deepEqual(asked, ['POST', 'PUT', 'PUT', 'PUT', 'PUT', 'POST', 'DELETE']);
    await store.close();
    server.stop();
  });
});

const service = await startS3();
if (isMissing(service)) {
  reportMissing('S3', service);
} else {
  after(() => service.stop());
  let buckets = 0;
  const open = async (): Promise<S3Store> =>
    new S3Store({ ...(await service.bucket(`bucket-${buckets++}`)), prefix: 'some/prefix' });

  objectStoreContract('S3', open);

  describe('S3', () => {
    test('of twenty racing conditional puts exactly one wins', async () => {
      const store = await open();
      const racers = Array.from({ length: 20 }, (_, i) => Buffer.from(String(i)));
      const created = await Promise.all(racers.map((bytes) => store.putIfAbsent('race', bytes)));
      assert.equal(created.filter(({ outcome }) => outcome === 'stored').length, 1);
      const { etag } = (await store.head('race'))!;
      const swapped = await Promise.all(
        racers.map((bytes) => store.putIfMatch('race', Buffer.concat([bytes, bytes]), etag)),
      );
      assert.equal(swapped.filter(({ outcome }) => outcome === 'stored').length, 1);
      await store.close();
    });

    test('lists page by page, each key once and in order', async () => {
      const store = new S3Store({ ...(await service.bucket('pages')), listPageKeysMax: 3 });
      const keys = Array.from({ length: 10 }, (_, i) => `a/${i}`);
      await Promise.all(keys.map((key) => store.put(key, Buffer.from(key))));
      const listed: string[] = [];
      for await (const meta of store.list('a/')) listed.push(meta.key);
      assert.deepEqual(listed, keys);
      await store.close();
    });

    test('large objects go in parts and come back whole', async () => {
      const store = await open();
      const bytes = Buffer.alloc(66 * 1024 * 1024);
      for (let i = 0; i < bytes.length; i += 4096) bytes.writeUInt32LE(i, i);
      await store.put('large', bytes);
      assert.equal((await store.head('large'))!.size, bytes.length);
      const part = await store.get('large', { offset: 16 * 1024 * 1024 - 10, length: 100_000 });
      assert.ok(
        bytes
          .subarray(16 * 1024 * 1024 - 10)
          .subarray(0, 100_000)
          .equals(part),
      );
      await store.close();
    });

    test('says what is wrong with credentials, without them', async () => {
      const options = await service.bucket('secrets');
      const credentials = { accessKeyId: 'nobody', secretAccessKey: 'open-sesame' };
      const store = new S3Store({ ...options, credentials });
      await assert.rejects(store.put('key', Buffer.from('x')), (error: Error) => {
        assert.equal(
          (error as unknown as { code: string }).code,
          'S3_ACCESS_DENIED',
          error.message,
        );
        assert.ok(!JSON.stringify(error, Object.getOwnPropertyNames(error)).includes('sesame'));
        return true;
      });
      await store.close();
    });

    test('a bucket that is not there is named', async () => {
      const store = new S3Store({ ...(await service.bucket('there')), bucket: 'not-there' });
      await assert.rejects(store.put('key', Buffer.from('x')), { code: 'S3_NO_SUCH_BUCKET' });
      await store.close();
    });

    test('a server that is gone is unavailable', async () => {
      const options = await service.bucket('gone');
      const store = new S3Store({ ...options, endpoint: 'http://127.0.0.1:1' });
      await assert.rejects(store.get('key'), { kind: 'unavailable', code: 'S3_UNREACHABLE' });
      await store.close();
    });
  });
}
