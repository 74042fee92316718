/** Files in a real object store: what one job publishes, another reads. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { fileSink, fileSource, jsonLines, parquet } from '../../connectors/files/index.ts';
import { isMissing, reportMissing } from '../../scripts/services/service.ts';
import { type S3Service, startS3 } from '../../scripts/services/s3.ts';
import { collectSink, environment, rangeSource, t, WatermarkStrategy } from '../../src/index.ts';

const service = await startS3();
if (isMissing(service)) reportMissing('S3 (files)', service);
else {
  after(() => service.stop());
  for (const [name, format] of [
    ['JSON lines', jsonLines],
    ['Parquet', parquet],
  ] as const)
    test(`${name} in a bucket: published by one job, read by another`, () =>
      publishAndRead(service, format));
}

const schema = t.struct({ id: t.int32(), day: t.string() });

async function publishAndRead(
  { endpoint, region, credentials, bucket }: S3Service,
  format:
    | typeof jsonLines<{ id: number; day: string }>
    | typeof parquet<{ id: number; day: string }>,
): Promise<void> {
  const name = `files-${format.name.toLowerCase()}`;
  await bucket(name);
  const at = {
    path: `s3://${name}/out`,
    format: format(schema),
    storeOptions: {
      's3.endpoint': endpoint,
      's3.region': region,
      's3.access-key': credentials.accessKeyId,
      's3.secret-key': credentials.secretAccessKey,
    },
  };
  const numbers = environment({
    ...at.storeOptions,
    'execution.checkpointing.interval': '50 ms',
    'execution.checkpointing.dir': `s3://${name}/checkpoints`,
  });
  numbers
    .fromSource(
      rangeSource({ count: 5000, valueAt: (id) => ({ id, day: `d${id % 3}` }), schema }),
      WatermarkStrategy.noWatermarks(),
    )
    .sinkTo(fileSink({ ...at, bucketOf: ({ day }) => `day=${day}`, partBytes: 4096 }));
  await numbers.execute('publish');

  const back: { id: number; day: string }[] = [];
  const reading = environment({});
  reading.fromSource(fileSource(at), WatermarkStrategy.noWatermarks()).sinkTo(collectSink(back));
  await reading.execute('read');
  back.sort((a, b) => a.id - b.id);
  assert.deepEqual(
    back,
    Array.from({ length: 5000 }, (_, id) => ({ id, day: `d${id % 3}` })),
  );
}
