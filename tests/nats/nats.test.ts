/** JetStream to JetStream against a real server, under kill -9 of the job and of the server. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { after, before, describe, test } from 'node:test';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { natsSource } from '../../connectors/nats/index.ts';
import { isMissing, reportMissing } from '../../scripts/services/service.ts';
import { type NatsService, startNats } from '../../scripts/services/nats.ts';
import { jsonMessages } from '../../src/index.ts';
import { realWorld } from '../../src/base/real-world.ts';
import type { SplitState } from '../../src/connector/source.ts';

const JOB = `${import.meta.dirname}/counting-job.ts`;
const KEYS = 10;
const KILLS = 4;

interface Count {
  readonly key: string;
  readonly count: number;
}

const service = await startNats();
if (isMissing(service)) reportMissing('NATS', service);
else describe('NATS JetStream', () => natsTests(service));

function natsTests(nats: NatsService): void {
  let connection: NatsConnection;
  let manager: Awaited<ReturnType<typeof jetstreamManager>>;
  let dir = '';

  before(async () => {
    connection = await connect({ servers: nats.url, maxReconnectAttempts: -1 });
    manager = await jetstreamManager(connection, { timeout: 20_000 });
    dir = await mkdtemp(`${tmpdir()}/millrace-nats-job-`);
  });
  after(async () => {
    await connection.close();
    await nats.stop();
    await rm(dir, { recursive: true });
  });

  const job = (name: string, ...more: string[]): ChildProcess => {
    const args = ['--dir', `${dir}/${name}`, '--nats', nats.url, ...more];
    return spawn(process.execPath, [JOB, ...args], { stdio: 'ignore' });
  };

  const publish = async (from: number, to: number): Promise<void> => {
    const client = jetstream(connection);
    for (let i = from; i < to; i++) {
      const subject = `events.${i % 2 === 0 ? 'a' : 'b'}`;
      const body = i % 97 === 0 ? 'no json' : JSON.stringify({ key: `k${i % KEYS}` });
      await client.publish(subject, body, { msgID: `e${i}`, retries: 100 });
    }
  };

  const counts = async (): Promise<readonly Count[]> => {
    const { state } = await manager.streams.info('counts');
    if (state.messages === 0) return [];
    const consumer = await jetstream(connection).consumers.get('counts');
    const found: Count[] = [];
    for await (const message of await consumer.fetch({ max_messages: state.messages })) {
      found.push(message.json<Count>());
      if (message.seq >= state.last_seq) break;
    }
    return found;
  };

  test(
    'every event is counted once, in order by key, through kills of the job and of the server',
    { timeout: 180_000 },
    async () => {
      await manager.streams.add({ name: 'events', subjects: ['events.*'] });
      await manager.streams.add({ name: 'counts', subjects: ['counts.*'] });
      const total = 2000;
      let running = job('killed');
      try {
        for (let part = 0; part <= KILLS; part++) {
          const size = total / (KILLS + 1);
          await publish(part * size, (part + 1) * size);
          const exited = once(running, 'exit');
          running.kill('SIGKILL');
          await exited;
          if (part % 2 === 1) await nats.process.restart();
          running = job('killed');
        }
        const wanted = Array.from({ length: total }, (_, i) => i).filter((i) => i % 97 !== 0);
        let found = await counts();
        while (found.length < wanted.length) {
          await once(running, 'exit', { signal: AbortSignal.timeout(500) }).catch(() => {}); // it goes on
          found = await counts();
        }
        for (let k = 0; k < KEYS; k++) {
          const key = `k${k}`;
          assert.deepEqual(
            found.filter((count) => count.key === key).map(({ count }) => count),
            Array.from({ length: wanted.filter((i) => i % KEYS === k).length }, (_, n) => n + 1),
            key,
          );
        }
      } finally {
        running.kill('SIGKILL');
      }
    },
  );

  const finished = async (child: ChildProcess): Promise<void> => {
    const [code] = (await once(child, 'exit')) as [number | null];
    assert.equal(code, 0);
  };

  test('a bounded source ends with what the stream holds', { timeout: 180_000 }, async () => {
    await manager.streams.purge('counts');
    await finished(job('bounded', '--until', 'latest'));
    // The ids of the first run are within the duplicate window: the server has dropped them all.
    assert.deepEqual(await counts(), []);
  });

  test('runs until now take up what came since the last one', { timeout: 180_000 }, async () => {
    await manager.streams.purge('events');
    await manager.streams.delete('counts');
    await manager.streams.add({ name: 'counts', subjects: ['counts.*'] });
    for (const [from, to] of [
      [10_000, 10_090],
      [10_090, 10_090],
      [10_090, 10_150],
    ] as const) {
      await publish(from, to);
      await finished(job('pieces', '--until', 'now'));
    }
    const wanted = Array.from({ length: 150 }, (_, i) => 10_000 + i).filter((i) => i % 97 !== 0);
    const found = await counts();
    assert.equal(found.length, wanted.length);
    assert.deepEqual(new Set(found.map(({ key, count }) => `${key}-${count}`)).size, wanted.length);
  });

  /** Opens the source's first split at a position. */
  const open = async (
    stream: string,
    position?: number,
    outOfRange?: 'earliest',
  ): Promise<void> => {
    const { clock, timers, logger } = realWorld();
    const source = natsSource({
      server: { servers: nats.url },
      stream,
      format: jsonMessages(),
      ...(outOfRange === undefined ? {} : { outOfRange }),
    });
    const splits: SplitState[] = [];
    const context = { parallelism: 1, clock, timers, logger, noMoreSplits() {}, fail() {} };
    const enumerator = source.createEnumerator(
      { ...context, assign: (_, given) => splits.push(...given) },
      undefined,
    );
    await enumerator.start();
    const reader = source.createReader({ ...context, subtaskIndex: 0, onMalformed() {} });
    try {
      if (recreate !== undefined) await recreate();
      const split = await reader.openSplit({ split: splits[0]!.split, position });
      await split.close();
    } finally {
      await reader.close();
    }
  };
  let recreate: (() => Promise<void>) | undefined;

  test('what cannot be read again is refused by name', { timeout: 180_000 }, async () => {
    await assert.rejects(open('nowhere'), { code: 'NATS_REFUSED', kind: 'invalid' });
    await manager.streams.add({ name: 'work', subjects: ['work'], retention: 'workqueue' });
    await assert.rejects(open('work'), { code: 'NATS_RETENTION' });
    await manager.streams.add({ name: 'short', subjects: ['short'], max_msgs: 2 });
    for (let i = 0; i < 5; i++) await jetstream(connection).publish('short', `${i}`);
    await assert.rejects(open('short', 1), { code: 'NATS_MESSAGES_GONE' });
    await open('short', 1, 'earliest');
    await open('short', 3);
    recreate = async () => {
      await manager.streams.delete('short');
      await manager.streams.add({ name: 'short', subjects: ['short'] });
    };
    await assert.rejects(open('short', 3), { code: 'NATS_STREAM_RECREATED' });
  });
}
