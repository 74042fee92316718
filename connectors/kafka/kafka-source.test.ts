/** The source's logic against the model cluster: what is fetched, when, and how much. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { JsonValue } from '../../src/base/json.ts';
import { textMessages } from '../../src/connector/message-format.ts';
import type { SplitReader, SplitState } from '../../src/connector/source.ts';
import { CALM_BROKER, SimBroker } from '../../src/testing/sim-broker.ts';
import { Simulation } from '../../src/testing/simulation.ts';
import { textLines } from '../files/text-lines.ts';
import { kafkaSource, type KafkaSourceOptions } from './kafka-source.ts';
import { RecordBatchBuilder } from './record-batch-builder.ts';
import { type KafkaCluster, NO_PRODUCER } from './transport.ts';

const text = textMessages(textLines());

interface OpenOptions {
  readonly untilNow?: boolean;
  readonly restored?: { readonly enumerator: JsonValue; readonly states: readonly SplitState[] };
}

class Stage {
  readonly sim = new Simulation({ seed: 3 });
  readonly broker = new SimBroker(this.sim.scheduler);
  readonly world = this.sim.startProcess('reader');
  /** What each fetch asked for. */
  readonly fetches: { readonly partitions: number[]; readonly waitMs: number }[] = [];

  readonly malformed: string[] = [];

  constructor(partitions: number) {
    this.broker.createTopic('in', partitions);
  }

  append(partition: number, ...values: string[]): void {
    const builder = new RecordBatchBuilder();
    for (const value of values) builder.append(null, Buffer.from(value), 1, undefined);
    const plain = { ...NO_PRODUCER, baseSequence: -1, transactional: false };
    this.broker.log('in', partition)!.append(builder.build(plain, 'none'));
  }

  /** The cluster, with its fetches noted down. */
  get cluster(): KafkaCluster {
    const cluster = this.broker.of(this.world.node);
    return {
      name: cluster.name,
      open: (services) => {
        const transport = cluster.open(services);
        const fetch = transport.fetchRecords.bind(transport);
        transport.fetchRecords = (node, request) => {
          const partitions = request.partitions.map(({ partition }) => partition);
          this.fetches.push({ partitions, waitMs: request.waitMsMax });
          return fetch(node, request);
        };
        return transport;
      },
    };
  }

  settle<T>(promise: Promise<T>): Promise<T> {
    return this.sim.settle(promise, { maxVirtualMs: 600_000 });
  }

  async open(
    options: Partial<KafkaSourceOptions<string>> & OpenOptions = {},
  ): Promise<{ readers: SplitReader<string>[]; states: SplitState[]; enumerator: JsonValue }> {
    const { clock, timers, logger } = this.world;
    const { restored, untilNow = false, ...rest } = options;
    const given = kafkaSource<string>({
      cluster: this.cluster,
      topics: ['in'],
      value: text,
      ...rest,
    });
    const source = untilNow ? given.untilNow!() : given;
    const states: SplitState[] = [];
    const enumerator = source.createEnumerator(
      {
        ...{ parallelism: 1, clock, timers, logger, noMoreSplits: () => {} },
        assign: (_subtask, splits) => states.push(...splits),
        fail: (error) => assert.fail(error),
      },
      restored?.enumerator,
    );
    await this.settle(enumerator.start());
    states.push(...(restored?.states ?? []));
    await enumerator.close();
    const reader = source.createReader({
      ...{ subtaskIndex: 0, parallelism: 1, clock, timers, logger },
      onMalformed: ({ reason }) => this.malformed.push(reason),
    });
    const readers = await this.settle(Promise.all(states.map((state) => reader.openSplit(state))));
    return { readers, states, enumerator: enumerator.snapshot() };
  }

  async read(reader: SplitReader<string>, max = 100): Promise<readonly string[] | null> {
    const batch = await this.settle(Promise.resolve(reader.poll(max)));
    return batch === null ? null : batch.values;
  }
}

describe('the source against a model cluster', () => {
  test('a partition that is not read is not fetched beyond its buffer, and others go on', async () => {
    const stage = new Stage(2);
    for (let i = 0; i < 200; i++) {
      stage.append(0, `0 ${i} ${'x'.repeat(1000)}`);
      stage.append(1, `1 ${i} ${'x'.repeat(1000)}`);
    }
    const { readers } = await stage.open({
      ...{ partitionFetchBytes: 10_000, bufferBytes: 40_000, until: 'latest' },
    });
    let seen = 0;
    for (;;) {
      const values = await stage.read(readers[1]!);
      if (values === null) break;
      seen += values.length;
    }
    assert.equal(seen, 200);
    const ofUnread = stage.fetches.filter(({ partitions }) => partitions.includes(0)).length;
    assert.ok(ofUnread <= 4, `${ofUnread} fetches of a partition that nobody reads`);
    let rest = 0;
    for (let values; (values = await stage.read(readers[0]!)) !== null;) rest += values.length;
    assert.equal(rest, 200);
  });

  test('it waits at the broker for long only while every partition is asked for', async () => {
    const stage = new Stage(2);
    const { readers } = await stage.open({ fetchWait: '400 ms' });
    const waiting = readers[0]!.poll(10);
    await stage.sim.run({ maxVirtualMs: 3000 });
    assert.ok(
      stage.fetches.length <= (2 * 3000) / 400 + 4,
      `${stage.fetches.length} fetches of nothing`,
    );
    stage.append(0, 'a');
    const batch = await stage.settle(Promise.resolve(waiting));
    assert.deepEqual(batch?.values, ['a']);
  });

  test('until now it reads what there is, and the next run what came since, in partitions old and new', async () => {
    const stage = new Stage(2);
    stage.append(0, 'a', 'b');
    const first = await stage.open({ untilNow: true });
    stage.append(0, 'late');
    const read = async (reader: SplitReader<string>): Promise<readonly string[]> => {
      const values: string[] = [];
      for (let batch; (batch = await stage.read(reader)) !== null;) values.push(...batch);
      return values;
    };
    assert.deepEqual(await read(first.readers[0]!), ['a', 'b']);
    assert.deepEqual(await read(first.readers[1]!), []);
    assert.ok(first.readers.every(({ grows }) => grows));
    const states = first.states.map((state, i) => ({
      ...state,
      position: first.readers[i]!.position(),
    }));
    stage.append(1, 'c');
    const restored = { enumerator: first.enumerator, states };
    const second = await stage.open({ untilNow: true, restored });
    assert.deepEqual(await read(second.readers[0]!), ['late']);
    assert.deepEqual(await read(second.readers[1]!), ['c']);
    // And a run without an end goes on from the same state.
    const third = await stage.open({ restored: { ...restored, states: states.slice(0, 1) } });
    assert.deepEqual(await stage.read(third.readers[0]!), ['late']);
  });

  test('moved leaders, lost answers and outages cost no record and repeat none', async () => {
    const stage = new Stage(3);
    for (let i = 0; i < 60; i++) stage.append(i % 3, `${i}`);
    const { readers } = await stage.open({ until: 'latest', partitionFetchBytes: 100 });
    stage.broker.faults = {
      ...CALM_BROKER,
      ...{ lostAnswerProbability: 0.2, notReachedProbability: 0.2, moveProbability: 0.2 },
    };
    stage.broker.down = true;
    stage.sim.at(3000, 'up', () => {
      stage.broker.down = false;
    });
    for (const [partition, reader] of readers.entries()) {
      const values: string[] = [];
      for (let batch; (batch = await stage.read(reader, 7)) !== null;) values.push(...batch);
      assert.deepEqual(
        values.map(Number),
        Array.from({ length: 20 }, (_, i) => 3 * i + partition),
      );
    }
  });

  test('records over the limit are malformed, others are read', async () => {
    const stage = new Stage(1);
    stage.append(0, 'short', 'x'.repeat(101), 'last');
    const { readers } = await stage.open({ recordBytesMax: 100 });
    assert.deepEqual(await stage.read(readers[0]!), ['short', 'last']);
    assert.deepEqual(stage.malformed, ['it has 101 bytes, more than recordBytesMax (100)']);
  });

  test('a reader that is closed lets go of whoever waits', async () => {
    const stage = new Stage(1);
    const { readers } = await stage.open();
    const waiting = readers[0]!.poll(10);
    await readers[0]!.close();
    assert.equal(await stage.settle(Promise.resolve(waiting)), null);
  });

  test('what a record needs to be read is waited for, and its failure is the split’s', async () => {
    const stage = new Stage(1);
    stage.append(0, 'a', 'b', 'c');
    let ready = false;
    const needing = {
      ...text,
      decode: (message: Uint8Array) =>
        String(message) === 'b' && !ready
          ? new Promise<void>((resolve) => {
              stage.world.timers.after(50, () => {
                ready = true;
                resolve();
              });
            })
          : text.decode(message),
    };
    const { readers } = await stage.open({ value: needing });
    assert.deepEqual(await stage.read(readers[0]!), ['a']);
    assert.deepEqual(readers[0]!.position(), { offset: 1 });
    assert.deepEqual(await stage.read(readers[0]!), ['b', 'c']);
    const failing = await stage.open({
      value: { ...text, decode: () => Promise.reject(new TypeError('no')) },
    });
    await assert.rejects(stage.read(failing.readers[0]!), TypeError);
  });
});
