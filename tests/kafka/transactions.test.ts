/** The sink's two phases against a real broker: what is committed, by whom, and what is refused. */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { listTransactionsApi } from '../../connectors/kafka/wire.ts';
import { startKafka } from '../../scripts/services/kafka.ts';
import { isMissing, reportMissing } from '../../scripts/services/service.ts';
import { readToEnd, SinkAttempt } from '../connector-fixture.ts';
import { TestCluster } from './kafka-fixture.ts';

const broker = await startKafka();
if (isMissing(broker)) reportMissing('Kafka (transactions)', broker);
else {
  const kafka = new TestCluster(broker.bootstrapServers);

  /** Waits for the broker's own clean-up of a transaction: nothing else tells when it has happened. */
  const untilOver = async (prefix: string): Promise<void> => {
    for (let tries = 0; tries < 100; tries++) {
      const { transactions } = await kafka.administer(listTransactionsApi, []);
      const states = transactions
        .filter(({ transactionalId }) => transactionalId.startsWith(prefix))
        .map(({ state }) => state);
      if (states.length > 0 && states.every((state) => /^Complete|^Empty/.test(state))) return;
      await delay(100);
    }
    assert.fail(`transactions of ${prefix} do not end`);
  };

  describe('transactions at a real broker', { timeout: 180_000 }, () => {
    after(() => broker.stop());

    test('what a checkpoint committed is read once, in the order of its partition; what follows is not', async () => {
      const topic = await kafka.topic(3);
      const sink = await SinkAttempt.open(kafka.sink({ topic, key: (value) => value.slice(0, 1) }));
      await sink.write('a1', 'b1', 'c1');
      await sink.write('a2', 'b2', 'd1');
      await sink.checkpoint(1);
      await sink.write('a3');
      await sink.writer.flush(false);
      const values = await kafka.committed(topic);
      assert.deepEqual([...values].sort(), ['a1', 'a2', 'b1', 'b2', 'c1', 'd1']);
      assert.ok(values.indexOf('a1') < values.indexOf('a2'));
      await sink.checkpoint(2);
      await sink.close();
      const all = await kafka.committed(topic);
      assert.deepEqual(all.sort(), ['a1', 'a2', 'a3', 'b1', 'b2', 'c1', 'd1']);
    });

    test('a new attempt commits what the last one had prepared, and may do so again', async () => {
      const topic = await kafka.topic();
      const options = kafka.sink({ topic });
      const first = await SinkAttempt.open(options);
      await first.write('x');
      const prepared = await first.prepare(1);
      await first.close();
      assert.deepEqual(await kafka.committed(topic), []);
      const second = await SinkAttempt.open(options, prepared);
      assert.deepEqual(await kafka.committed(topic), ['x']);
      await second.committer?.commit(prepared);
      await second.close();
      const third = await SinkAttempt.open(options, prepared);
      await third.close();
      assert.deepEqual(await kafka.committed(topic), ['x']);
    });

    test('a commit is repeated safely even when its producer has gone on to later transactions', async () => {
      const topic = await kafka.topic();
      const options = kafka.sink({ topic });
      const sink = await SinkAttempt.open(options);
      const prepared = [];
      for (let checkpoint = 1; checkpoint <= 6; checkpoint++) {
        await sink.write(`v${checkpoint}`);
        const committables = await sink.prepare(checkpoint);
        prepared.push(committables);
        await sink.committer?.commit(committables);
      }
      const ids = prepared
        .flat()
        .flatMap((c) => (c as { transactionalId?: string }).transactionalId ?? []);
      assert.equal(ids.length, 6);
      assert.ok(new Set(ids).size < 6, 'ids are used again');
      await sink.close();
      const again = await SinkAttempt.open(options, prepared[0]);
      await again.close();
      assert.deepEqual(await kafka.committed(topic), ['v1', 'v2', 'v3', 'v4', 'v5', 'v6']);
    });

    test('what a failed attempt left open is invisible, and aborted with the first checkpoint of the next', async () => {
      const topic = await kafka.topic();
      const options = kafka.sink({ topic });
      const failed = await SinkAttempt.open(options);
      await failed.write('lost');
      await failed.prepare(1);
      await failed.write('lost too');
      await failed.writer.flush(false);
      await failed.close();
      const next = await SinkAttempt.open(options);
      await next.write('kept');
      await next.checkpoint(2);
      assert.deepEqual(await kafka.committed(topic), ['kept']);
      await next.close();
    });

    test('a zombie is fenced by the next attempt, by name, and can commit nothing', async () => {
      const topic = await kafka.topic();
      const options = kafka.sink({ topic });
      const zombie = await SinkAttempt.open(options);
      await zombie.write('z1');
      await zombie.writer.flush(false);
      const next = await SinkAttempt.open(options);
      await next.write('n1');
      await next.checkpoint(1);
      await assert.rejects(
        async () => {
          await zombie.write('z2');
          await zombie.writer.flush(false);
        },
        { kind: 'fenced', code: 'KAFKA_PRODUCER_FENCED' },
      );
      await zombie.close();
      await next.close();
      assert.deepEqual(await kafka.committed(topic), ['n1']);
    });

    test('transactions that other subtasks prepared are committed by one after rescaling, whoever opens first', async () => {
      const topic = await kafka.topic(2);
      const options = kafka.sink({ topic });
      const before = [
        await SinkAttempt.open(options, [], 0, 2),
        await SinkAttempt.open(options, [], 1, 2),
      ];
      const prepared = [];
      for (const [index, attempt] of before.entries()) {
        await attempt.write(`from ${index}`);
        prepared.push(...(await attempt.prepare(1)));
      }
      for (const attempt of before) await attempt.close();
      // Subtask 1 has nothing to commit and is faster than subtask 0, which has everything.
      const after1 = await SinkAttempt.open(options, [], 1, 3);
      const after0 = await SinkAttempt.open(options, prepared, 0, 3);
      const after2 = await SinkAttempt.open(options, [], 2, 3);
      for (const attempt of [after0, after1, after2]) await attempt.checkpoint(2);
      assert.deepEqual((await kafka.committed(topic)).sort(), ['from 0', 'from 1']);
      for (const attempt of [after0, after1, after2]) await attempt.close();
    });

    test('a transaction that the broker timed out fails its commit by name, again and again, until the loss is accepted', async () => {
      const topic = await kafka.topic();
      const short = { topic, transactionTimeout: '2 s', longestOutage: '1 s' } as const;
      const sink = await SinkAttempt.open(kafka.sink(short));
      await sink.write('gone');
      const prepared = await sink.prepare(1);
      await sink.close();
      await untilOver(`p-${topic}/`);
      const refused = { kind: 'data', code: 'KAFKA_COMMIT_REFUSED' };
      await assert.rejects(SinkAttempt.open(kafka.sink(short), prepared), refused);
      await assert.rejects(SinkAttempt.open(kafka.sink(short), prepared), refused);
      const accepting = await SinkAttempt.open(
        kafka.sink({ ...short, lostTransactions: 'accept' }),
        prepared,
      );
      await accepting.write('goes on');
      await accepting.checkpoint(2);
      await accepting.close();
      assert.deepEqual(await kafka.committed(topic), ['goes on']);
    });

    test('a writer whose open transaction the broker timed out fails so that the task restarts', async () => {
      const topic = await kafka.topic();
      const sink = await SinkAttempt.open(
        kafka.sink({ topic, transactionTimeout: '2 s', longestOutage: '1 s' }),
      );
      await sink.write('early');
      await sink.writer.flush(false);
      await untilOver(`p-${topic}/`);
      await assert.rejects(
        async () => {
          await sink.write('late');
          await sink.writer.flush(false);
        },
        { kind: 'unavailable', code: 'KAFKA_TRANSACTION_TIMED_OUT' },
      );
      await sink.close();
      assert.deepEqual(await kafka.committed(topic), []);
    });

    test('a transaction timeout above the limit of the broker is refused when the sink opens', async () => {
      const topic = await kafka.topic();
      await assert.rejects(SinkAttempt.open(kafka.sink({ topic, transactionTimeout: '1 h' })), {
        kind: 'invalid',
        code: 'KAFKA_TRANSACTION_TIMEOUT_TOO_LONG',
      });
    });

    test('readers of committed records see no record of aborted transactions, several of one producer or open at the end of a fetch', async () => {
      const topic = await kafka.topic();
      const options = kafka.sink({ topic, batchBytes: 1024 });
      const filler = 'x'.repeat(800);
      const expected: string[] = [];
      for (let round = 0; round < 4; round++) {
        const aborted = await SinkAttempt.open(options);
        for (let i = 0; i < 5; i++) await aborted.write(`aborted ${round}.${i} ${filler}`);
        await aborted.writer.flush(false);
        const kept = await SinkAttempt.open(
          kafka.sink({ topic, transactionalIdPrefix: `other-${topic}` }),
        );
        await kept.write(`kept ${round}`);
        await kept.writer.flush(false);
        for (let i = 5; i < 8; i++) await aborted.write(`aborted ${round}.${i} ${filler}`);
        await aborted.writer.flush(false);
        await kept.checkpoint(1);
        await kept.close();
        await aborted.close();
        const sweeper = await SinkAttempt.open(options);
        await sweeper.checkpoint(1);
        await sweeper.close();
        expected.push(`kept ${round}`);
      }
      await kafka.settled();
      for (const partitionFetchBytes of [1, 2000, 5000, 1_000_000]) {
        const { values } = await readToEnd(kafka.source({ topics: [topic], partitionFetchBytes }));
        assert.deepEqual(values, expected, `fetching ${partitionFetchBytes} bytes`);
      }
      const all = await readToEnd(kafka.source({ topics: [topic], isolation: 'read_uncommitted' }));
      assert.equal(all.values.length, expected.length + 4 * 8);
    });

    test('at-least-once writes are visible without a checkpoint', async () => {
      const topic = await kafka.topic(2);
      const sink = await SinkAttempt.open(kafka.sink({ topic, guarantee: 'at-least-once' }));
      await sink.write('1', '2', '3');
      await sink.writer.flush(false);
      assert.deepEqual((await kafka.committed(topic)).sort(), ['1', '2', '3']);
      await sink.close();
    });

    test('a broker that is killed and comes back costs nothing: writing, committing and reading go on', async () => {
      const topic = await kafka.topic(2);
      const sink = await SinkAttempt.open(kafka.sink({ topic }));
      const expected: string[] = [];
      let checkpoint = 0;
      const restart = { done: false };
      const restarting = broker.restart().then(() => {
        restart.done = true;
      });
      while (!restart.done || checkpoint < 5) {
        const value = `v${checkpoint}`;
        await sink.write(value);
        expected.push(value);
        await sink.writer.flush(false);
        const committables = await sink.prepare(++checkpoint);
        for (let tries = 0; ; tries++) {
          try {
            await sink.committer?.commit(committables);
            break;
          } catch (error) {
            // As an operator does: unavailable is tried again.
            if ((error as { kind?: string }).kind !== 'unavailable' || tries > 100) throw error;
            await delay(100);
          }
        }
      }
      await restarting;
      await sink.close();
      assert.deepEqual((await kafka.committed(topic)).sort(), expected.sort());
    });
  });
}
