/** The connector against a real broker. */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { startKafka } from '../../scripts/services/kafka.ts';
import { isMissing, reportMissing } from '../../scripts/services/service.ts';
import { readToEnd, SinkAttempt, TestCluster } from './kafka-fixture.ts';

const broker = await startKafka();
if (isMissing(broker)) reportMissing('Kafka', broker);
else {
  const kafka = new TestCluster(broker.bootstrapServers);

  describe('against a real broker', { timeout: 120_000 }, () => {
    after(() => broker.stop());

    test('what a checkpoint committed is read once, in the order of its partition; what follows is not', async () => {
      const topic = await kafka.topic(3);
      const sink = await SinkAttempt.open(kafka.sink({ topic, key: (value) => value.slice(0, 1) }));
      await sink.write('a1', 'b1', 'c1');
      await sink.write('a2', 'b2', 'd1');
      await sink.checkpoint(1);
      await sink.write('a3');
      await sink.writer.flush(false);
      const { values } = await readToEnd(kafka.source({ topics: [topic] }));
      assert.deepEqual([...values].sort(), ['a1', 'a2', 'b1', 'b2', 'c1', 'd1']);
      assert.ok(values.indexOf('a1') < values.indexOf('a2'));
      await sink.checkpoint(2);
      await sink.close();
      assert.deepEqual((await kafka.committed(topic)).sort(), [
        ...['a1', 'a2', 'a3', 'b1', 'b2', 'c1', 'd1'],
      ]);
    });
  });
}
