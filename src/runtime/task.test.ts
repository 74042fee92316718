import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Source, SplitState } from '../connector/source.ts';
import { WatermarkStrategy } from '../connector/watermark-strategies.ts';
import type { JobEdge, JobVertex } from '../graph/job-graph.ts';
import type { LogicalNode } from '../graph/logical-graph.ts';
import type { EdgeCode, NodeCode } from '../graph/program.ts';
import type { OneInputOperator, OperatorContext } from '../operators/contract.ts';
import { HashMapStateBackend } from '../state/hashmap/hashmap-backend.ts';
import { ChannelStateFiles, rangeOf } from '../state/channel-state-files.ts';
import { StoreSnapshotReader, StoreSnapshotWriter } from '../state/checkpoint-storage.ts';
import { MemoryStore } from '../storage/memory-store.ts';
import { Simulation } from '../testing/simulation.ts';
import { valueState } from '../state/descriptor.ts';
import { hashKey, murmurHash } from '../types/key-hash.ts';
import { t } from '../types/t.ts';
import { CREDITS, LocalChannel } from './channel.ts';
import type { ToJobMaster } from './messages.ts';
import type { StreamElement } from './stream-element.ts';
import { Task } from './task.ts';
import type { ChannelDescriptor, InFlightRestore } from './task-descriptor.ts';
import { TaskScheduler } from './task-scheduler.ts';

/** An operator that passes everything on and tells `log` what happens to it; parts can be overridden. */
class Recorder implements OneInputOperator {
  readonly log: string[] = [];
  context!: OperatorContext;
  blocked = false;
  readonly #overrides: Partial<OneInputOperator>;

  constructor(overrides: Partial<OneInputOperator> = {}) {
    this.#overrides = overrides;
  }

  open(context: OperatorContext): void | Promise<void> {
    this.context = context;
    this.log.push('open');
    return this.#overrides.open?.(context);
  }

  processBatch(batch: Parameters<OneInputOperator['processBatch']>[0]): void {
    if (this.#overrides.processBatch !== undefined) this.#overrides.processBatch(batch);
    else this.context.output.emitBatch(batch);
  }

  processWatermark(watermark: number): void {
    this.context.output.emitWatermark(watermark);
  }

  processWatermarkStatus(idle: boolean): void {
    this.context.output.emitWatermarkStatus(idle);
  }

  async prepareSnapshot(checkpointId: number): Promise<void> {
    this.log.push(`prepare ${checkpointId}`);
    await this.#overrides.prepareSnapshot?.(checkpointId);
  }

  snapshotState(checkpointId: number): void {
    this.log.push(`snapshot ${checkpointId}`);
  }

  notifyCheckpointComplete(checkpointId: number): void {
    this.log.push(`complete ${checkpointId}`);
  }

  notifyCheckpointAborted(checkpointId: number): void {
    this.log.push(`aborted ${checkpointId}`);
  }

  finish(): void {
    this.log.push('finish');
  }

  close(): void | Promise<void> {
    this.log.push('close');
    return this.#overrides.close?.();
  }
}

interface Given {
  readonly head: NodeCode;
  readonly kind?: 'source' | 'one-input';
  readonly inputs?: number;
  readonly config?: Readonly<Record<string, number>>;
  readonly store?: MemoryStore;
  readonly stateOutlivesJob?: boolean;
  /** Of the edges. Default forward: barriers align. */
  readonly partitioning?: 'rebalance';
  readonly inFlight?: InFlightRestore;
}

const HEAD = 'head';

/** One task in a simulated world, with channels that the test holds the other ends of. */
class Harness {
  readonly simulation = new Simulation({ seed: 7 });
  readonly reports: ToJobMaster[] = [];
  readonly inputs: readonly LocalChannel[];
  readonly output = new LocalChannel();
  readonly store: MemoryStore;
  readonly task: Task;

  constructor(given: Given) {
    const { head, kind = 'one-input', config = {} } = given;
    const isSource = kind === 'source';
    this.inputs = Array.from(
      { length: isSource ? 0 : (given.inputs ?? 1) },
      () => new LocalChannel(),
    );
    this.store = given.store ?? new MemoryStore();
    const world = this.simulation.startProcess('process');
    const channels = [this.output, ...this.inputs];
    const edges = ['in', 'out'].map(
      (id) =>
        ({
          id,
          source: id === 'out' ? HEAD : 'up',
          targetVertex: 'down',
          partitioning: given.partitioning ?? 'forward',
        }) as JobEdge, // what a task reads of it
    );
    const code: EdgeCode = { schema: t.int32() };
    const end = (channel: number): ChannelDescriptor => ({
      channel,
      peerSubtask: 0,
      peerWorker: 'worker',
    });
    const keyed = head.keySchema === undefined ? {} : { keySchema: {} };
    const node = { id: HEAD, name: 'head', kind, ...keyed } as LogicalNode; // what a task reads of it
    this.task = new Task(
      {
        jobId: 'job',
        vertexId: HEAD,
        subtaskIndex: 3,
        parallelism: 4,
        maxParallelism: 128,
        attempt: 0,
        attemptId: 'attempt',
        inputs: isSource
          ? []
          : [{ edgeId: 'in', input: 1, channels: this.inputs.map((_, i) => end(i + 1)) }],
        outputs: [{ edgeId: 'out', channels: [end(0)] }],
        ...(given.inFlight === undefined
          ? {}
          : { restore: { checkpointId: 1, operators: {}, inFlight: given.inFlight } }),
      },
      {
        world,
        scheduler: new TaskScheduler(world),
        program: {
          graph: { name: 'job', nodes: [], edges: [] },
          nodes: new Map([[HEAD, head]]),
          edges: new Map([
            ['in', code],
            ['out', code],
          ]),
          config,
        },
        vertex: {
          id: HEAD,
          name: 'the vertex',
          operators: [node],
          chainEdges: [],
        } as unknown as JobVertex, // what a task reads of it
        edges,
        maxParallelismOf: () => 128,
        backend: new HashMapStateBackend(),
        reader: new StoreSnapshotReader(this.store),
        worker: 'worker',
        stateOutlivesJob: given.stateOutlivesJob ?? true,
        snapshotWriter: (checkpointId, attemptId) =>
          new StoreSnapshotWriter(this.store, {
            jobId: 'job',
            checkpointId,
            attemptId,
            inlineThresholdBytes: 0,
          }),
        channelState: new ChannelStateFiles({
          store: this.store,
          timers: world.timers,
          jobId: 'job',
          incarnation: 'worker',
          inlineBytesMax: 0,
          subtasksPerFileMax: 1,
        }),
        localChannel: (channel) => channels[channel]!,
        peer: () => assert.fail('there is one worker'),
        report: (message) => this.reports.push(message),
      },
    );
  }

  static of(operator: OneInputOperator, more: Omit<Given, 'head'> = {}): Harness {
    return new Harness({
      ...more,
      head: { operator: { kind: 'one-input', create: () => operator } },
    });
  }

  async run(ms = 50): Promise<void> {
    await this.simulation.run({ maxVirtualMs: ms });
  }

  async start(): Promise<this> {
    this.task.start();
    await this.run();
    return this;
  }

  get states(): readonly string[] {
    return this.reports.flatMap((message) =>
      message.type === 'task-state' ? [message.state] : [],
    );
  }

  /** Everything that has left so far. */
  drain(): readonly string[] {
    const out: string[] = [];
    for (let e = this.output.poll(); e !== undefined; e = this.output.poll()) out.push(show(e));
    return out;
  }
}

const keyedHead = (operator: OneInputOperator): NodeCode => ({
  operator: { kind: 'one-input', create: () => operator },
  keySchema: t.int32(),
  keySelectors: [(value) => value],
});

function show(element: StreamElement): string {
  switch (element.kind) {
    case 'batch':
      return element.batch.values.join(',');
    case 'watermark':
      return `w${element.watermark}`;
    case 'status':
      return element.idle ? 'idle' : 'active';
    case 'barrier':
      return `|${element.checkpointId}|`;
    default:
      return element.kind;
  }
}

const batch = (...values: readonly unknown[]): StreamElement => ({
  kind: 'batch',
  batch: { values, timestamps: null },
});
const watermark = (at: number): StreamElement => ({ kind: 'watermark', watermark: at });
const idle: StreamElement = { kind: 'status', idle: true };
const end: StreamElement = { kind: 'end-of-input' };
const barrier = (checkpointId: number) =>
  ({ kind: 'barrier', checkpointId, triggeredAtMs: 0, mode: 'exactly-once' }) as const;

describe('a task', () => {
  test('runs its input through its operators, in order, and ends with its input', async () => {
    const operator = new Recorder();
    const harness = await Harness.of(operator).start();
    const [input] = harness.inputs;
    for (const element of [batch(1, 2), watermark(5), batch(3), end]) input!.send(element);
    await harness.run();
    assert.deepEqual(harness.drain(), ['1,2', 'w5', '3', 'end-of-input']);
    assert.deepEqual(harness.states, ['deploying', 'running', 'ended']);
    harness.task.finish();
    await harness.run();
    assert.deepEqual(operator.log, ['open', 'finish', 'close']);
    assert.equal(harness.states.at(-1), 'finished');
  });

  test('takes no input without credit, and goes on when there is some', async () => {
    const harness = await Harness.of(new Recorder()).start();
    const [input] = harness.inputs;
    for (let i = 0; i < 10; i++) {
      input!.send(batch(...Array.from({ length: 200 }, () => i)));
      await harness.run(1);
    }
    assert.equal(harness.output.available, false);
    assert.equal(harness.output.backlog, 0);
    assert.equal(input!.available, false);
    await harness.run(1000);
    const { backPressuredTimeMsPerSecond } = harness.task.metrics() as Record<string, number>;
    assert.ok(backPressuredTimeMsPerSecond! > 800, `${backPressuredTimeMsPerSecond}`);
    const got: string[] = [];
    for (let i = 0; i < 10; i++) {
      got.push(...harness.drain().map((line) => line[0]!));
      await harness.run(1);
    }
    assert.equal(got.join(''), '0123456789');
  });

  test('takes no input while an operator is blocked; a mail unblocks it', async () => {
    const operator = new Recorder();
    const harness = await Harness.of(operator).start();
    operator.blocked = true;
    harness.inputs[0]!.send(batch(1));
    await harness.run();
    assert.deepEqual(harness.drain(), []);
    operator.context.mailbox(() => {
      operator.blocked = false;
    });
    await harness.run();
    assert.deepEqual(harness.drain(), ['1']);
  });

  test('a status follows the watermark that came with it', async () => {
    const harness = await Harness.of(new Recorder(), { inputs: 2 }).start();
    const [a, b] = harness.inputs;
    a!.send(watermark(10));
    b!.send(watermark(3));
    await harness.run();
    a!.send(idle);
    await harness.run();
    b!.send(idle);
    await harness.run();
    assert.deepEqual(harness.drain(), ['w3', 'w10', 'idle']);
  });

  test('records that expand do not pile up beyond the credit, and none is lost', async () => {
    const fan = 3000;
    const operator = new Recorder({
      processBatch: ({ values }) => {
        for (const value of values)
          for (let i = 0; i < fan; i += 1000)
            operator.context.output.emitBatch({
              values: Array.from({ length: 1000 }, () => value),
              timestamps: null,
            });
      },
    });
    const harness = await Harness.of(operator).start();
    for (let i = 0; i < 3; i++)
      harness.inputs[0]!.send(batch(...Array.from({ length: 100 }, (_, n) => i * 100 + n)));
    harness.inputs[0]!.send(barrier(1));
    let worst = 0;
    let rounds = 0;
    const got: number[] = [];
    for (let done = false; !done && rounds < 5000; rounds++) {
      await harness.run(1);
      if (rounds > 400) worst = Math.max(worst, harness.output.backlog);
      for (let i = 0; i < 3; i++) {
        const element = harness.output.poll();
        if (element?.kind === 'batch') got.push(Number(element.batch.values[0]));
        done ||= element?.kind === 'barrier';
      }
    }
    assert.deepEqual(
      got,
      Array.from({ length: 900 }, (_, i) => Math.floor(i / 3)),
    );
    assert.ok(worst <= 2 * CREDITS, `${worst} batches beyond the credit`);
  });
});

describe('a task and its checkpoints', () => {
  test('prepares, sends the barrier, captures, acknowledges when it is durable, then completes', async () => {
    const operator = new Recorder({
      open: (context) => context.operatorState.getListState('state', t.int32()).add(1),
    });
    const harness = await Harness.of(operator, { inputs: 2 }).start();
    const [a, b] = harness.inputs;
    a!.send(batch(1));
    a!.send(barrier(7));
    a!.send(batch(2));
    await harness.run();
    assert.deepEqual(harness.drain(), ['1']);
    b!.send(barrier(7));
    await harness.run();
    assert.deepEqual(harness.drain(), ['|7|', '2']);
    assert.deepEqual(operator.log, ['open', 'prepare 7', 'snapshot 7']);
    const ack = harness.reports.find((message) => message.type === 'checkpoint-ack')!;
    assert.equal(ack.checkpointId, 7);
    assert.ok(ack.alignmentMs >= 40 && ack.snapshot.sizeBytes > 0);
    harness.task.notifyCheckpointComplete(7);
    harness.task.notifyCheckpointAborted(8);
    await harness.run();
    assert.deepEqual(
      operator.log.slice(3),
      ['aborted 8', 'complete 7'].toSorted().toReversed().toSorted(),
    );
    assert.equal(harness.reports.at(-1)!.type, 'checkpoint-committed');
  });

  describe('whose barriers overtake', () => {
    const overtaking = (checkpointId: number) => ({
      ...barrier(checkpointId),
      overtakesAfterMs: 0,
    });
    const exchanged = { partitioning: 'rebalance' } as const;

    /** What the acknowledgement holds in flight, to be restored by the same subtask. */
    function inFlightOf(harness: Harness): InFlightRestore {
      const ack = harness.reports.find((message) => message.type === 'checkpoint-ack')!;
      const { data, inputs } = ack.snapshot.channels!;
      const stages = inputs.map((range) => [
        { target: 3, bytes: rangeOf(data, range), edges: { in: 'all' } as const },
      ]);
      return { stages, timed: true };
    }

    /** A task whose output takes nothing more, with records waiting in front of it. */
    async function congested(): Promise<Harness> {
      const harness = await Harness.of(new Recorder(), exchanged).start();
      const [input] = harness.inputs;
      for (let i = 0; i < 2 * CREDITS; i++) {
        input!.send(batch(i));
        await harness.run();
      }
      assert.equal(harness.output.available, false);
      return harness;
    }

    test('takes them without credit, and what they overtook is processed first after a restore', async () => {
      const harness = await congested();
      harness.inputs[0]!.send(watermark(5));
      harness.inputs[0]!.send(overtaking(7));
      harness.inputs[0]!.send(batch(8));
      await harness.run();
      const emitted = ['0', '1', '2', '3'];
      assert.deepEqual(harness.drain().slice(0, CREDITS + 1), [...emitted, '|7|']);
      const inFlight = inFlightOf(harness);
      const restored = await Harness.of(new Recorder(), {
        ...exchanged,
        store: harness.store,
        inFlight,
      }).start();
      restored.inputs[0]!.send(batch(99));
      const seen = [];
      for (let i = 0; i < 5; i++) {
        await restored.run(200);
        seen.push(...restored.drain());
      }
      assert.deepEqual(seen.join(','), '4,5,6,7,w5,99');
    });

    test('a checkpoint while in-flight data is being processed saves what is left of it, and what has come since', async () => {
      const harness = await congested();
      harness.inputs[0]!.send(overtaking(7));
      await harness.run();
      const operator = new Recorder();
      const second = Harness.of(operator, {
        ...exchanged,
        store: harness.store,
        inFlight: inFlightOf(harness),
      });
      operator.blocked = true;
      await second.start();
      second.inputs[0]!.send(batch(99));
      second.inputs[0]!.send(overtaking(8));
      await second.run();
      assert.deepEqual(second.drain(), ['|8|']);
      const inFlight = inFlightOf(second);
      assert.equal(inFlight.stages.length, 2);
      const third = await Harness.of(new Recorder(), {
        ...exchanged,
        store: second.store,
        inFlight,
      }).start();
      const seen = third.drain();
      await third.run();
      assert.deepEqual([...seen, ...third.drain()].join(','), '4,5,6,7,99');
    });

    test('event time goes on where it was, and not back', async () => {
      const harness = await Harness.of(new Recorder(), exchanged).start();
      harness.inputs[0]!.send(watermark(50));
      await harness.run();
      harness.inputs[0]!.send(batch(1));
      harness.inputs[0]!.send(overtaking(7));
      await harness.run();
      assert.deepEqual(harness.drain(), ['w50', '|7|', '1']);
      const restored = await Harness.of(new Recorder(), {
        ...exchanged,
        store: harness.store,
        inFlight: inFlightOf(harness),
      }).start();
      for (const at of [20, 49, 60]) restored.inputs[0]!.send(watermark(at));
      await restored.run();
      assert.deepEqual(restored.drain(), ['w50', '1', 'w60']);
    });
  });

  test('takes no input while operators prepare, but their mails', async () => {
    let prepared = (): void => {};
    const operator = new Recorder({
      prepareSnapshot: () =>
        new Promise((resolve) => {
          prepared = resolve;
        }),
    });
    const harness = await Harness.of(operator).start();
    harness.inputs[0]!.send(barrier(1));
    harness.inputs[0]!.send(batch(2));
    await harness.run();
    assert.deepEqual(harness.drain(), []);
    operator.context.mailbox(() =>
      operator.context.output.emitBatch({ values: ['before'], timestamps: null }),
    );
    operator.context.mailbox(() => prepared());
    await harness.run();
    assert.deepEqual(harness.drain(), ['before', '|1|', '2']);
  });

  test('declines when the snapshot cannot be stored, and goes on', async () => {
    class FullStore extends MemoryStore {
      override put(): Promise<never> {
        return Promise.reject(new RangeError('no room'));
      }
    }
    const operator = new Recorder({
      open: (context) => context.operatorState.getListState('state', t.int32()).add(1),
    });
    const harness = await Harness.of(operator, { store: new FullStore() }).start();
    for (const element of [barrier(1), batch(1)]) harness.inputs[0]!.send(element);
    await harness.run();
    assert.deepEqual(harness.drain(), ['|1|', '1']);
    const decline = harness.reports.find((message) => message.type === 'checkpoint-decline');
    assert.match(decline!.error.message, /no room/);
    assert.equal(harness.task.state, 'running');
  });

  test('after its end still takes barriers, but no timers', async () => {
    const operator = new Recorder();
    const harness = await Harness.of(operator).start();
    const { processingTime, output } = operator.context;
    processingTime.registerTimer(processingTime.now() + 100, () => output.emitWatermark(1));
    harness.inputs[0]!.send(end);
    harness.inputs[0]!.send(barrier(1));
    await harness.run(500);
    assert.deepEqual(harness.drain(), ['end-of-input', '|1|']);
  });

  test('does not spin after its end over keyed timers that are due', async () => {
    const operator = new Recorder({
      open: ({ keyed, processingTime }) => {
        const target = { onEventTime: () => {}, onProcessingTime: () => {} };
        const timers = keyed!.getTimerService('timers', t.int32(), target);
        keyed!.setCurrentKey(ownKey);
        timers.registerProcessingTimeTimer(0, processingTime.now() + 100);
      },
    });
    const harness = await new Harness({ head: keyedHead(operator) }).start();
    harness.inputs[0]!.send(end);
    await harness.run();
    const before = harness.simulation.scheduler.eventsRun;
    await harness.run(500);
    const events = harness.simulation.scheduler.eventsRun - before;
    assert.ok(events < 10, `${events} events`);
  });

  // Of the subtask's key groups.
  const ownKey = Array.from({ length: 100 }, (_, key) => key).find(
    (key) => murmurHash(hashKey(key, t.int32())) % 128 >= 96,
  );
  for (const stateOutlivesJob of [true, false]) {
    test(`captures keyed state after its end only where it outlives the job: ${stateOutlivesJob}`, async () => {
      const operator = new Recorder({
        open: ({ keyed }) => {
          const state = keyed!.getState('state', valueState(t.int32()));
          keyed!.setCurrentKey(ownKey);
          state.value = 2;
        },
      });
      const head = keyedHead(operator);
      const harness = await new Harness({ head, stateOutlivesJob }).start();
      harness.inputs[0]!.send(barrier(1));
      harness.inputs[0]!.send(end);
      await harness.run();
      harness.inputs[0]!.send(barrier(2));
      await harness.run();
      const captured = harness.reports.flatMap((message) =>
        message.type === 'checkpoint-ack'
          ? [message.snapshot.operators[HEAD]!.keyed.length === 1]
          : [],
      );
      assert.deepEqual(captured, [true, stateOutlivesJob]);
    });
  }
});

describe('a task that fails', () => {
  const failing = (): OneInputOperator => ({
    open: () => {},
    processWatermark: () => {},
    processWatermarkStatus: () => {},
    processBatch: () => {
      throw new RangeError('too large');
    },
  });

  test('says where, closes everything once, and reports one end', async () => {
    const operator = new Recorder({ processBatch: failing().processBatch });
    const harness = await Harness.of(operator).start();
    harness.inputs[0]!.send(batch(1));
    harness.inputs[0]!.send(batch(2));
    await harness.run();
    harness.task.cancel();
    harness.task.fail(new RangeError('another'));
    await harness.run();
    assert.deepEqual(operator.log, ['open', 'close']);
    assert.deepEqual(harness.states, ['deploying', 'running', 'failed']);
    const failed = harness.reports.at(-1)!;
    assert.ok(failed.type === 'task-state');
    assert.equal(failed.error!.message, 'too large (task "the vertex", subtask 3)');
    assert.equal(failed.error!.details['subtask'], 3);
    harness.inputs[0]!.send(batch(3));
    assert.equal(harness.inputs[0]!.isEmpty, true);
  });

  test('while it opens closes what it has opened', async () => {
    const operator = new Recorder({ open: () => Promise.reject(new RangeError('no luck')) });
    const harness = await Harness.of(operator).start();
    assert.deepEqual(operator.log, ['open', 'close']);
    assert.deepEqual(harness.states, ['deploying', 'failed']);
  });

  test('in closing is failed by it, but a cancelled task closes all the same', async () => {
    const operator = new Recorder({ close: () => Promise.reject(new RangeError('stuck')) });
    const harness = await Harness.of(operator).start();
    harness.task.cancel();
    await harness.run();
    assert.deepEqual(harness.states, ['deploying', 'running', 'canceled']);
    harness.inputs[0]!.send(batch(1));
    assert.equal(harness.inputs[0]!.isEmpty, true);
  });

  test('is cancelled while it opens as soon as opening listens to the signal', async () => {
    const operator = new Recorder({
      open: ({ signal }) =>
        new Promise((_, reject) => {
          signal.addEventListener('abort', () => reject(new RangeError('aborted')));
        }),
    });
    const harness = await Harness.of(operator).start();
    assert.deepEqual(harness.states, ['deploying']);
    harness.task.cancel();
    await harness.run();
    assert.deepEqual(operator.log, ['open', 'close']);
    assert.deepEqual(harness.states, ['deploying', 'canceled']);
  });
});

describe('a source task', () => {
  const split = (id: string): SplitState => ({ split: { id, data: null }, position: undefined });

  interface Reads {
    closed: number;
    polled: number;
    readonly committed: string[];
  }

  /** Splits of `count` batches of one record; then they wait for ever, or end. */
  function source(reads: Reads, count: number, then: 'waits' | 'ends'): Source<unknown> {
    return {
      boundedness: 'bounded',
      createEnumerator: () => assert.fail('the job master has it'),
      createReader: () => ({
        openSplit: async () => {
          let next = 0;
          return {
            poll: () => {
              if (next === count) return then === 'ends' ? null : new Promise(() => {});
              reads.polled++;
              return { values: [next], timestamps: Float64Array.of(1000 + next++) };
            },
            position: () => next,
            close: async () => {
              reads.closed++;
            },
          };
        },
        notifyCheckpointComplete: async (id, positions) => {
          reads.committed.push(
            `${id}: ${JSON.stringify(positions.map(({ position }) => position))}`,
          );
        },
        close: async () => {
          reads.closed++;
        },
      }),
    };
  }

  const monotonous = WatermarkStrategy.forMonotonousTimestamps<unknown>();
  const fresh = (): Reads => ({ closed: 0, polled: 0, committed: [] });

  test('asks for splits, reads them, and ends with the end of time', async () => {
    const reads = fresh();
    const head = { source: source(reads, 3, 'ends'), watermarkStrategy: monotonous };
    const harness = await new Harness({ kind: 'source', head }).start();
    assert.ok(harness.reports.some(({ type }) => type === 'split-request'));
    harness.task.assignSplits([split('a')]);
    harness.task.noMoreSplits();
    await harness.run();
    assert.deepEqual(harness.drain(), ['0,1,2', 'w1001', 'wInfinity', 'end-of-input']);
    harness.task.finish();
    await harness.run();
    assert.equal(reads.closed, 2);
  });

  test('that has become idle is active again before the end of time', async () => {
    const head = {
      source: source(fresh(), 1, 'ends'),
      watermarkStrategy: monotonous.withIdleness(500),
    };
    const harness = await new Harness({ kind: 'source', head }).start();
    harness.task.assignSplits([split('a')]);
    await harness.run(1000);
    harness.task.noMoreSplits();
    await harness.run();
    assert.deepEqual(harness.drain().slice(-4), ['idle', 'active', 'wInfinity', 'end-of-input']);
  });

  test('is idle when its splits are silent, but not while backpressure keeps it from reading', async () => {
    const reads = fresh();
    const head = {
      source: source(reads, 100, 'waits'),
      watermarkStrategy: monotonous.withIdleness(500),
    };
    const config = { 'execution.buffer-timeout.interval': 0 };
    const harness = await new Harness({ kind: 'source', head, config }).start();
    harness.task.assignSplits([split('a')]);
    await harness.run(5000);
    assert.ok(reads.polled < 100, 'backpressure has stopped it');
    const before: string[] = [];
    for (let i = 0; i < 200; i++) {
      before.push(...harness.drain());
      await harness.run(5);
    }
    const numbers = before.flatMap((line) => (/^\d/.test(line) ? line.split(',') : []));
    assert.deepEqual(
      numbers,
      Array.from({ length: 100 }, (_, i) => String(i)),
    );
    assert.equal(before.indexOf('idle') === -1 || before.indexOf('idle') > before.length - 3, true);
    await harness.run(1000);
    assert.ok([...before, ...harness.drain()].includes('idle'));
  });

  test('commits the positions of the checkpoint, not where it is by then', async () => {
    const reads = fresh();
    const head = { source: source(reads, 1, 'waits'), watermarkStrategy: monotonous };
    const harness = await new Harness({ kind: 'source', head }).start();
    harness.task.triggerCheckpoint(barrier(1));
    await harness.run();
    harness.task.assignSplits([split('a')]);
    await harness.run();
    harness.task.triggerCheckpoint(barrier(2));
    await harness.run();
    harness.task.notifyCheckpointComplete(1);
    harness.task.notifyCheckpointComplete(2);
    harness.task.notifyCheckpointComplete(3);
    await harness.run();
    assert.deepEqual(reads.committed, ['1: []', '2: [1]']);
  });

  test('a failure names the split and the position that is being read', async () => {
    const reads = fresh();
    const throwing: NodeCode = {
      source: source(reads, 5, 'waits'),
      watermarkStrategy: {
        ...monotonous,
        timestampOf: (value: unknown) => {
          if (value === 3) throw new RangeError('bad record');
          return 0;
        },
      },
    };
    const harness = await new Harness({ kind: 'source', head: throwing }).start();
    harness.task.assignSplits([split('a')]);
    await harness.run();
    const failed = harness.reports.at(-1)!;
    assert.ok(failed.type === 'task-state');
    assert.match(failed.error!.message, /bad record .*split a from position 3 on/);
    assert.equal(reads.closed, 2);
  });

  test('a split that opens after the task was cancelled is closed', async () => {
    const reads = fresh();
    let open = (): void => {};
    const slow = source(reads, 1, 'waits');
    const head: NodeCode = {
      watermarkStrategy: monotonous,
      source: {
        ...slow,
        createReader: (context) => {
          const reader = slow.createReader(context);
          return {
            close: () => reader.close(),
            openSplit: async (state) => {
              await new Promise<void>((resolve) => {
                open = resolve;
              });
              return reader.openSplit(state);
            },
          };
        },
      } satisfies Source<unknown>,
    };
    const harness = await new Harness({ kind: 'source', head }).start();
    harness.task.assignSplits([split('a')]);
    await harness.run();
    harness.task.cancel();
    await harness.run();
    assert.equal(harness.states.at(-1), 'canceled');
    open();
    await harness.run();
    assert.equal(reads.closed, 2);
  });
});
