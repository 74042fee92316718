/** The sink's logic against the model cluster: what real brokers are asked in `tests/kafka`, and what they cannot be made to do there. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Committable, Committer, SinkWriter } from '../../src/connector/sink.ts';
import { textMessages } from '../../src/connector/message-format.ts';
import { CALM_BROKER, SimBroker } from '../../src/testing/sim-broker.ts';
import type { SimWorld } from '../../src/testing/sim-world.ts';
import { Simulation } from '../../src/testing/simulation.ts';
import { textLines } from '../files/text-lines.ts';
import { kafkaSink } from './kafka-sink.ts';
import type { BegunTransaction } from './transactional-ids.ts';
import type { EndTransactionRequest } from './transport.ts';
import type { KafkaSinkOptions } from './kafka-sink-options.ts';

const text = textMessages(textLines());

interface Attempt {
  readonly writer: SinkWriter<string>;
  readonly committer: Committer;
  readonly world: SimWorld;
}

class Stage {
  readonly sim = new Simulation({ seed: 5 });
  readonly broker = new SimBroker(this.sim.scheduler);
  #attempts = 0;

  constructor(partitions = 1) {
    this.broker.createTopic('out', partitions);
  }

  settle<T>(promise: Promise<T>): Promise<T> {
    return this.sim.settle(promise, { maxVirtualMs: 3_600_000 });
  }

  open(options: Partial<KafkaSinkOptions<string>> = {}, subtaskIndex = 0): Promise<Attempt> {
    return this.settle(this.#open(options, subtaskIndex));
  }

  async #open(options: Partial<KafkaSinkOptions<string>>, subtaskIndex: number): Promise<Attempt> {
    const attempt = this.#attempts++;
    const world = this.sim.startProcess(`p${attempt}`);
    const sink = kafkaSink<string>({
      ...{ cluster: this.broker.of(world.node), topic: 'out', value: text },
      transactionalIdPrefix: 'sink',
      ...options,
    });
    const context = {
      ...{ jobId: 'j', operatorId: 'o', subtaskIndex, parallelism: 1, restored: [] },
      ...{ attemptId: `a${attempt}`, clock: world.clock, timers: world.timers },
      ...{ logger: world.logger, print: () => {} },
    };
    const committer = (await sink.createCommitter?.(context)) ?? {
      commit: async () => {},
      close: async () => {},
    };
    return { writer: await sink.createWriter(context), committer, world };
  }

  write({ writer }: Attempt, ...values: string[]): Promise<void> {
    return this.settle(Promise.resolve(writer.write({ values, timestamps: null })));
  }

  prepare({ writer }: Attempt, checkpointId: number): Promise<readonly Committable[]> {
    return this.settle(writer.flush(false).then(() => writer.prepareCommit?.(checkpointId) ?? []));
  }

  async checkpoint(attempt: Attempt, checkpointId: number): Promise<void> {
    const committables = await this.prepare(attempt, checkpointId);
    await this.settle(attempt.committer.commit(committables));
  }

  /** Lets markers reach their partitions. */
  async committed(): Promise<string[]> {
    await this.sim.run({ maxVirtualMs: 100 });
    return this.broker.committed('out').flat();
  }

  states(): string[] {
    return this.broker.transactions.list([]).map(({ state }) => state);
  }
}

describe('options of the sink', () => {
  const cluster = new SimBroker(new Simulation({ seed: 1 }).scheduler).of(
    new Simulation({ seed: 1 }).startProcess('p').node,
  );
  const sink = (options: Partial<KafkaSinkOptions<string>>): unknown =>
    kafkaSink<string>({ cluster, topic: 't', value: text, transactionalIdPrefix: 'p', ...options });

  test('that do not go together are refused, all at once', () => {
    const refused = { kind: 'invalid', code: 'BAD_KAFKA_SINK' };
    assert.throws(() => kafkaSink({ cluster, topic: 't', value: text }), refused);
    assert.throws(() => sink({ transactionalIdPrefix: 'a/b' }), refused);
    assert.throws(() => sink({ batchBytes: 10, bufferBytes: 1, transactionalIdPrefix: '' }), {
      ...refused,
      message: /transactionalIdPrefix.*batchBytes.*bufferBytes/,
    });
    assert.doesNotThrow(() =>
      kafkaSink({ cluster, topic: 't', value: text, guarantee: 'at-least-once' }),
    );
  });

  test('a transaction timeout that is not longer than the longest outage is refused', () => {
    const refused = { kind: 'invalid', code: 'KAFKA_TRANSACTION_TIMEOUT_TOO_SHORT' };
    assert.throws(() => sink({ transactionTimeout: '10 min' }), refused);
    assert.throws(() => sink({ transactionTimeout: '1 min', longestOutage: '1 min' }), refused);
    assert.doesNotThrow(() => sink({ transactionTimeout: '2 min', longestOutage: '1 min' }));
  });
});

describe('the sink against a model cluster', () => {
  test('nothing is visible before the commit, everything after it, and a commit is repeated safely', async () => {
    const stage = new Stage();
    const sink = await stage.open();
    await stage.write(sink, 'a', 'b');
    const prepared = await stage.prepare(sink, 1);
    assert.deepEqual(await stage.committed(), []);
    for (let i = 0; i < 3; i++) {
      await stage.settle(sink.committer.commit(prepared));
      assert.deepEqual(await stage.committed(), ['a', 'b']);
    }
  });

  test('a checkpoint without records has nothing to commit, and keeps the transaction that was begun', async () => {
    const stage = new Stage();
    const sink = await stage.open();
    for (let checkpoint = 1; checkpoint < 5; checkpoint++)
      assert.deepEqual(await stage.prepare(sink, checkpoint), []);
    assert.deepEqual(stage.states(), ['Empty']);
  });

  test('a handful of ids is used again and again, each time under a new epoch', async () => {
    const stage = new Stage();
    const sink = await stage.open();
    const names = new Set<string>();
    for (let checkpoint = 1; checkpoint <= 30; checkpoint++) {
      await stage.write(sink, `v${checkpoint}`);
      const committables = await stage.prepare(sink, checkpoint);
      for (const committable of committables) names.add(JSON.stringify(committable));
      await stage.settle(sink.committer.commit(committables));
    }
    assert.equal(names.size, 30);
    assert.ok(stage.states().length <= 4, `${stage.states().length} ids`);
    assert.equal((await stage.committed()).length, 30);
  });

  test('a checkpoint that never completes is committed with the next one', async () => {
    const stage = new Stage();
    const sink = await stage.open();
    await stage.write(sink, 'a');
    const first = await stage.prepare(sink, 1);
    await stage.write(sink, 'b');
    const second = await stage.prepare(sink, 2);
    await stage.settle(sink.committer.commit([...first, ...second]));
    assert.deepEqual(await stage.committed(), ['a', 'b']);
  });

  test('a commit without an answer is repeated and finds itself done', async () => {
    const stage = new Stage();
    const sink = await stage.open();
    await stage.write(sink, 'a');
    const prepared = await stage.prepare(sink, 1);
    stage.broker.faults = { ...CALM_BROKER, lostAnswerProbability: 1 };
    await assert.rejects(stage.settle(sink.committer.commit(prepared)), { kind: 'unavailable' });
    stage.broker.faults = CALM_BROKER;
    await stage.settle(sink.committer.commit(prepared));
    assert.deepEqual(await stage.committed(), ['a']);
  });

  test('records whose delivery has no answer are stored once', async () => {
    const stage = new Stage(3);
    const sink = await stage.open({ key: (value) => value });
    stage.broker.faults = { ...CALM_BROKER, lostAnswerProbability: 0.3, moveProbability: 0.2 };
    const values = Array.from({ length: 200 }, (_, i) => `v${i}`);
    for (let from = 0; from < values.length; from += 20) {
      await stage.write(sink, ...values.slice(from, from + 20));
      await stage.settle(sink.writer.flush(false));
    }
    stage.broker.faults = CALM_BROKER;
    await stage.checkpoint(sink, 1);
    assert.deepEqual((await stage.committed()).sort(), values.sort());
  });

  test('an outage within the timeout holds the stream up and no more; a longer one fails by name', async () => {
    const stage = new Stage();
    const sink = await stage.open({ deliveryTimeout: '10 s' });
    stage.broker.down = true;
    stage.sim.at(5000, 'up', () => {
      stage.broker.down = false;
    });
    await stage.write(sink, 'a');
    await stage.checkpoint(sink, 1);
    assert.deepEqual(await stage.committed(), ['a']);
    await stage.write(sink, 'b');
    stage.broker.down = true;
    await assert.rejects(stage.settle(sink.writer.flush(false)), { kind: 'unavailable' });
  });

  test('what is undelivered is bounded: writing waits', async () => {
    const stage = new Stage();
    const sink = await stage.open({ bufferBytes: 4096, batchBytes: 1024 });
    stage.broker.down = true;
    let waiting: Promise<void> | undefined;
    let writes = 0;
    while (waiting === undefined && writes < 100) {
      writes++;
      waiting = sink.writer.write({ values: ['x'.repeat(500)], timestamps: null }) ?? undefined;
    }
    assert.ok(writes >= 8 && writes < 12, `${writes} writes`);
    stage.broker.down = false;
    await stage.settle(waiting!);
  });

  test('the job that comes later fences the one that uses the same prefix, which is told so', async () => {
    const stage = new Stage();
    const first = await stage.open();
    await stage.write(first, 'first');
    await stage.settle(first.writer.flush(false));
    const second = await stage.open();
    await stage.write(second, 'second');
    await stage.checkpoint(second, 1);
    await assert.rejects(
      (async () => {
        await stage.write(first, 'more');
        await stage.settle(first.writer.flush(false));
      })(),
      {
        kind: 'fenced',
        code: 'KAFKA_PRODUCER_FENCED',
        message: /another job with the same transactionalIdPrefix/,
      },
    );
    assert.deepEqual(await stage.committed(), ['second']);
  });

  test('a refused commit is told from one that was made before: by the log', async () => {
    const stage = new Stage();
    const sink = await stage.open({ transactionTimeout: '10 s', longestOutage: '5 s' });
    const prepared: (readonly Committable[])[] = [];
    for (let checkpoint = 1; checkpoint <= 5; checkpoint++) {
      await stage.write(sink, `v${checkpoint}`);
      prepared.push(await stage.prepare(sink, checkpoint));
      if (checkpoint < 5) await stage.settle(sink.committer.commit(prepared.at(-1)!));
    }
    // Its id has gone on to a later transaction since.
    await stage.settle(sink.committer.commit(prepared[0]!));
    await stage.sim.run({ maxVirtualMs: 20_000 });
    await assert.rejects(stage.settle(sink.committer.commit(prepared[4]!)), {
      kind: 'data',
      code: 'KAFKA_COMMIT_REFUSED',
      message: /checkpoint 5 .*aborted/,
    });
    assert.deepEqual(await stage.committed(), ['v1', 'v2', 'v3', 'v4']);
  });

  for (const fences of [true, false])
    test(`a delayed EndTxn ${fences ? 'does not commit' : 'would commit, did the broker not compare epochs,'} a later transaction of its id`, async () => {
      const stage = new Stage();
      const sink = await stage.open();
      const seen = new Map<string, EndTransactionRequest>();
      for (let checkpoint = 1; ; checkpoint++) {
        await stage.write(sink, `v${checkpoint}`);
        const [committable] = await stage.prepare(sink, checkpoint);
        const transaction = committable as unknown as BegunTransaction; // the sink's own
        const earlier = seen.get(transaction.transactionalId);
        if (earlier !== undefined) {
          await stage.sim.run({ maxVirtualMs: 100 });
          stage.broker.transactions.fences = fences;
          assert.equal(stage.broker.transactions.endTransaction(earlier), fences ? 90 : 0);
          assert.equal((await stage.committed()).includes(`v${checkpoint}`), !fences);
          return;
        }
        seen.set(transaction.transactionalId, { ...transaction, commit: true });
        await stage.settle(sink.committer.commit([committable!]));
      }
    });

  test('a sink that was idle for long begins its transaction anew', async () => {
    const stage = new Stage();
    const sink = await stage.open();
    await stage.sim.run({ maxVirtualMs: 2 * 3_600_000 });
    await stage.write(sink, 'late');
    const [committable] = (await stage.prepare(sink, 1)) as { producerEpoch: number }[];
    assert.equal(committable?.producerEpoch, 1);
    await stage.settle(sink.committer.commit([committable as unknown as Committable]));
    assert.deepEqual(await stage.committed(), ['late']);
  });

  test('a partition function that leaves the topic, and a topic that is missing, are refused by name', async () => {
    const stage = new Stage();
    const sink = await stage.open({ partition: () => 7 });
    await assert.rejects((async () => stage.write(sink, 'x'))(), {
      kind: 'invalid',
      code: 'KAFKA_BAD_PARTITION',
    });
    await assert.rejects(stage.open({ topic: 'none' }), { code: 'KAFKA_TOPIC_MISSING' });
  });
});
