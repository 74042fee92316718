/** The source against a real broker: where it begins and ends, what it finds, what it refuses. */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { kafkaCluster, kafkaSource } from '../../connectors/kafka/index.ts';
import { startKafka } from '../../scripts/services/kafka.ts';
import { isMissing, reportMissing } from '../../scripts/services/service.ts';
import { jsonMessages } from '../../src/connector/message-format.ts';
import type { SplitState } from '../../src/connector/source.ts';
import { t } from '../../src/types/t.ts';
import { discover, readerContext, readToEnd, SinkAttempt, world } from '../connector-fixture.ts';
import { TestCluster, text } from './kafka-fixture.ts';

const SASL = { username: 'reader', password: 'a secret' } as const;
const broker = await startKafka({ sasl: SASL, tls: true });
if (isMissing(broker)) reportMissing('Kafka (source)', broker);
else {
  const kafka = new TestCluster(broker.bootstrapServers);

  /** Writes values to partitions in turn by their first character: `0a` goes to partition 0. */
  const write = async (topic: string, ...values: string[]): Promise<void> => {
    const sink = await SinkAttempt.open(
      kafka.sink({
        topic,
        guarantee: 'at-least-once',
        partition: (value) => Number(value[0]) || 0,
      }),
    );
    await sink.write(...values);
    await sink.writer.flush(false);
    await sink.close();
  };

  const at = ({ split }: SplitState): { startOffset: number; stopOffset: number } =>
    split.data as unknown as { startOffset: number; stopOffset: number }; // the connector's own

  describe('the source at a real broker', { timeout: 180_000 }, () => {
    after(() => broker.stop());

    test('partitions go round the subtasks and are read in their own order', async () => {
      const topic = await kafka.topic(4);
      await write(topic, '0a', '1a', '0b', '3a', '1b', '0c');
      const source = kafka.source({ topics: [topic] });
      const { bySubtask } = await discover(source, 2);
      assert.deepEqual(
        [...bySubtask.values()].map((splits) => splits.length),
        [2, 2],
      );
      const { bySplit } = await readToEnd(source);
      assert.deepEqual(bySplit.get(`${topic}-0`), ['0a', '0b', '0c']);
      assert.deepEqual(bySplit.get(`${topic}-1`), ['1a', '1b']);
      assert.deepEqual(bySplit.get(`${topic}-2`), []);
      assert.deepEqual(bySplit.get(`${topic}-3`), ['3a']);
    });

    test('a position is right after what was delivered: reading on from it yields the rest', async () => {
      const topic = await kafka.topic();
      const values = Array.from({ length: 50 }, (_, i) => `0-${i}`);
      await write(topic, ...values);
      const source = kafka.source({ topics: [topic] });
      const [split] = (await discover(source)).splits;
      for (const read of [1, 7, 49]) {
        const reader = source.createReader(readerContext());
        const open = await reader.openSplit(split!);
        const batch = await open.poll(read);
        assert.deepEqual(batch?.values, values.slice(0, read));
        const position = open.position();
        await reader.close();
        const rest = await readToEnd(source, [{ split: split!.split, position }]);
        assert.deepEqual(rest.values, values.slice(read));
      }
    });

    test('it starts from the earliest, the latest, a time, given and committed offsets', async () => {
      const topic = await kafka.topic(2);
      await write(topic, '0a', '0b', '1a');
      await delay(20);
      const middle = world.clock.wallMs();
      await delay(20);
      await write(topic, '0c', '1b');
      const read = async (options: object): Promise<string[]> =>
        (await readToEnd(kafka.source({ topics: [topic], ...options }))).values.sort();
      assert.deepEqual(await read({ startFrom: 'earliest' }), ['0a', '0b', '0c', '1a', '1b']);
      assert.deepEqual(await read({ startFrom: 'latest' }), []);
      assert.deepEqual(await read({ startFrom: { timestamp: middle } }), ['0c', '1b']);
      assert.deepEqual(await read({ startFrom: { timestamp: middle + 1e7 } }), []);
      assert.deepEqual(await read({ startFrom: { offsets: { [topic]: { 0: 2, 1: 1 } } } }), [
        '0c',
        '1b',
      ]);
      const groupId = `g-${topic}`;
      await assert.rejects(read({ startFrom: { committed: groupId } }), {
        kind: 'invalid',
        code: 'KAFKA_NO_START_OFFSET',
      });
      assert.equal(
        (await read({ startFrom: { committed: groupId, otherwise: 'earliest' } })).length,
        5,
      );
      const source = kafka.source({ topics: [topic], groupId });
      const reader = source.createReader(readerContext());
      const { splits } = await discover(source);
      await reader.notifyCheckpointComplete?.(
        1,
        splits.map(({ split }) => ({ split, position: { offset: 1 } })),
      );
      await reader.close();
      assert.deepEqual(await read({ startFrom: { committed: groupId } }), ['0b', '0c', '1b']);
      assert.deepEqual(await read({ until: { committed: groupId } }), ['0a', '1a']);
      assert.deepEqual(await read({ until: { timestamp: middle } }), ['0a', '0b', '1a']);
      assert.deepEqual(await read({ until: { offsets: { [topic]: { 0: 1, 1: 0 } } } }), ['0a']);
    });

    test('a bounded source ends where the topic ended, also behind a transaction marker', async () => {
      const topic = await kafka.topic();
      const sink = await SinkAttempt.open(kafka.sink({ topic }));
      await sink.write('x');
      await sink.checkpoint(1);
      await kafka.settled();
      const { splits } = await discover(kafka.source({ topics: [topic] }));
      assert.deepEqual(at(splits[0]!), { ...at(splits[0]!), startOffset: 0, stopOffset: 2 });
      await sink.close();
      assert.deepEqual(await kafka.committed(topic), ['x']);
    });

    test('partitions that are added later are found and read from their beginning', async () => {
      const topic = await kafka.topic(1);
      const found: SplitState[] = [];
      const source = kafkaSource({
        cluster: kafka.cluster,
        topics: new RegExp(`^${topic}$`),
        value: text,
        startFrom: 'latest',
        discoveryInterval: '50 ms',
      });
      const enumerator = source.createEnumerator(
        {
          ...{ parallelism: 1, clock: world.clock, timers: world.timers, logger: world.logger },
          assign: (_subtask, splits) => found.push(...splits),
          noMoreSplits: () => assert.fail('it goes on'),
          fail: (error) => assert.fail(error),
        },
        undefined,
      );
      await write(topic, '0a');
      await enumerator.start();
      await kafka.addPartitions(topic, 2);
      await write(topic, '0b', '1a');
      while (found.length < 2) await delay(20);
      assert.deepEqual(
        found.map(at).map(({ startOffset }) => startOffset),
        [1, 0],
      );
      const snapshot = enumerator.snapshot();
      await enumerator.close();
      const restored = source.createEnumerator(
        {
          ...{ parallelism: 1, clock: world.clock, timers: world.timers, logger: world.logger },
          assign: () => assert.fail('nothing is handed out twice'),
          noMoreSplits: () => {},
          fail: (error) => assert.fail(error),
        },
        snapshot,
      );
      await restored.start();
      await restored.close();
    });

    test('a topic that does not exist, and one that was created again, are refused by name', async () => {
      await assert.rejects(discover(kafka.source({ topics: ['no-such-topic'] })), {
        kind: 'invalid',
        code: 'KAFKA_TOPIC_MISSING',
      });
      const topic = await kafka.topic();
      await write(topic, '0a');
      const source = kafka.source({ topics: [topic] });
      const { splits } = await discover(source);
      await kafka.deleteTopic(topic);
      for (;;) {
        try {
          await kafka.createTopic(topic, 1);
          break;
        } catch {
          await delay(50); // still being deleted
        }
      }
      await write(topic, '0b');
      await assert.rejects(readToEnd(source, splits), { code: 'KAFKA_TOPIC_RECREATED' });
    });

    test('an offset that is not there fails by name, or is replaced where the user says so', async () => {
      const topic = await kafka.topic();
      await write(topic, '0a', '0b');
      const source = (outOfRange: 'fail' | 'earliest'): ReturnType<TestCluster['source']> =>
        kafka.source({ topics: [topic], outOfRange, until: { offsets: { [topic]: { 0: 2 } } } });
      const [split] = (await discover(source('fail'))).splits;
      const lost = [
        {
          split: { ...split!.split, data: { ...(split!.split.data as object), stopOffset: 1000 } },
          position: { offset: 900 },
        },
      ];
      await assert.rejects(readToEnd(source('fail'), lost), { code: 'KAFKA_OFFSET_OUT_OF_RANGE' });
      const again = source('earliest').createReader(readerContext());
      const open = await again.openSplit(lost[0]!);
      assert.deepEqual((await open.poll(10))?.values, ['0a', '0b']);
      await again.close();
    });

    test('records that cannot be read are reported with topic, partition and offset', async () => {
      const topic = await kafka.topic();
      await write(topic, '0', '{"a":1}', '{"a":"x"}', 'not json', '{"a":2}');
      const source = kafkaSource({
        cluster: kafka.cluster,
        topics: [topic],
        value: jsonMessages(t.struct({ a: t.int32() })),
        until: 'latest',
      });
      const { values, malformed } = await readToEnd(source);
      assert.deepEqual(values, [{ a: 1 }, { a: 2 }]);
      assert.deepEqual(
        malformed.map(({ position }) => position),
        [0, 2, 3].map((offset) => ({ topic, partition: 0, offset })),
      );
      assert.equal(Buffer.from(malformed[2]!.raw as Uint8Array).toString(), 'not json');
    });

    for (const compression of ['gzip', 'snappy', 'lz4', 'zstd'] as const)
      test(`${compression} is written and read`, async () => {
        const topic = await kafka.topic();
        const values = Array.from({ length: 300 }, (_, i) => `0 value ${i} ${'y'.repeat(i)}`);
        const sink = await SinkAttempt.open(kafka.sink({ topic, compression, batchBytes: 8192 }));
        await sink.write(...values);
        await sink.checkpoint(1);
        await sink.close();
        assert.deepEqual(await kafka.committed(topic), values);
      });

    test('records larger than a fetch are read; larger than the topic takes, they are refused by name', async () => {
      const topic = await kafka.topic();
      const large = '0'.repeat(900_000);
      await write(topic, large, '0');
      const { values } = await readToEnd(
        kafka.source({ topics: [topic], partitionFetchBytes: 1000, requestFetchBytes: 1000 }),
      );
      assert.deepEqual(
        values.map(({ length }) => length),
        [900_000, 1],
      );
      await assert.rejects(write(topic, '0'.repeat(2_000_000)), { code: 'KAFKA_RECORD_TOO_LARGE' });
    });

    test('keys, headers, timestamps and tombstones come to a deserializer', async () => {
      const topic = await kafka.topic();
      const sink = await SinkAttempt.open(
        kafka.sink({
          topic,
          key: (value) => `key of ${value}`,
          headers: (value) => [
            ['h', Buffer.from(value)],
            ['none', null],
          ],
        }),
      );
      await sink.writer.write({ values: ['v'], timestamps: Float64Array.of(1234) });
      await sink.checkpoint(1);
      await sink.close();
      await kafka.settled();
      const { values, timestamps } = await readToEnd(
        kafkaSource({
          cluster: kafka.cluster,
          topics: [topic],
          until: 'latest',
          deserialize: ({ key, value, headers, offset, timestamp }) => ({
            ok: true,
            value: {
              key: Buffer.from(key!).toString(),
              value: Buffer.from(value!).toString(),
              headers: headers.map(([name, bytes]) => [
                name,
                bytes === null ? null : Buffer.from(bytes).toString(),
              ]),
              offset,
              timestamp,
            },
          }),
        }),
      );
      assert.deepEqual(values, [
        {
          key: 'key of v',
          value: 'v',
          headers: [
            ['h', 'v'],
            ['none', null],
          ],
          offset: 0,
          timestamp: 1234,
        },
      ]);
      assert.deepEqual(timestamps, [1234]);
    });

    for (const mechanism of ['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512'] as const)
      test(`SASL ${mechanism}: the right password is let in, another is refused by name and not repeated`, async () => {
        const topic = await kafka.topic();
        await write(topic, '0a');
        const bootstrapServers = broker.saslBootstrapServers!;
        const clusterOf = (password: string): ReturnType<typeof kafkaCluster> =>
          kafkaCluster({
            bootstrapServers,
            sasl: { mechanism, username: SASL.username, password },
          });
        const source = kafkaSource({
          cluster: clusterOf(SASL.password),
          topics: [topic],
          value: text,
          until: 'latest',
        });
        assert.deepEqual((await readToEnd(source)).values, ['0a']);
        const wrong = kafkaSource({
          cluster: clusterOf('a wrong guess'),
          topics: [topic],
          value: text,
          until: 'latest',
        });
        await assert.rejects(discover(wrong), (error: { code?: string; message?: string }) => {
          assert.equal(error.code, 'KAFKA_AUTHENTICATION_FAILED');
          assert.ok(!String(error.message).includes('a wrong guess'));
          return true;
        });
      });

    test('TLS: a broker with a trusted certificate is read from, others are refused by name', async () => {
      const topic = await kafka.topic();
      await write(topic, '0a');
      const { bootstrapServers, ca } = broker.tls!;
      const sourceOf = (options: Partial<Parameters<typeof kafkaCluster>[0]>) =>
        kafkaSource({
          cluster: kafkaCluster({ bootstrapServers, ...options }),
          topics: [topic],
          value: text,
          until: 'latest',
          unavailableTimeout: '300 ms',
        });
      assert.deepEqual((await readToEnd(sourceOf({ tls: { ca } }))).values, ['0a']);
      await assert.rejects(discover(sourceOf({ tls: {} })), { code: 'KAFKA_TLS_FAILED' });
      const plaintext = { bootstrapServers: broker.bootstrapServers, tls: { ca } };
      await assert.rejects(discover(sourceOf(plaintext)), { code: 'KAFKA_TLS_FAILED' });
      await assert.rejects(discover(sourceOf({})), { kind: 'unavailable' });
    });

    test('a broker that cannot be reached fails the source after its timeout, by name', async () => {
      const source = kafkaSource({
        cluster: kafkaCluster({ bootstrapServers: '127.0.0.1:1', connectTimeout: '200 ms' }),
        topics: ['t'],
        value: text,
        unavailableTimeout: '300 ms',
      });
      await assert.rejects(discover(source), { kind: 'unavailable', code: 'KAFKA_UNAVAILABLE' });
    });

    test('a broker that stops answering and goes on holds a reader up and no more', async () => {
      const topic = await kafka.topic();
      await write(topic, '0a');
      const source = kafkaSource({ cluster: kafka.cluster, topics: [topic], value: text });
      const reader = source.createReader(readerContext());
      const [state] = (await discover(source)).splits;
      const split = await reader.openSplit(state!);
      assert.deepEqual((await split.poll(10))?.values, ['0a']);
      broker.pause();
      const waiting = split.poll(10);
      await delay(500);
      broker.resume();
      await write(topic, '0b');
      assert.deepEqual((await waiting)?.values, ['0b']);
      await reader.close();
    });
  });
}
