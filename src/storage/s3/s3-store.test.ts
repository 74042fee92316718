import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { isMissing, reportMissing } from '../../../scripts/services/service.ts';
import { startS3 } from '../../../scripts/services/s3.ts';
import { objectStoreContract } from '../../testing/object-store-contract.ts';
import { S3Store } from './s3-store.ts';

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
