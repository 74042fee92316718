/**
 * Everything a running task owns, opened in order and closed in reverse: outputs, state, operators, input.
 */
import { asError, MillraceError } from '../base/errors.ts';
import { ByteWriter } from '../base/bytes.ts';
import type { Source } from '../connector/source.ts';
import type { WatermarkStrategy } from '../connector/watermark-strategy.ts';
import type { JobEdge } from '../graph/job-graph.ts';
import type { LogicalNode } from '../graph/logical-graph.ts';
import type { OperatorContext, Output, TwoInputOperator } from '../operators/contract.ts';
import type { KeyedStateBackend } from '../state/keyed-state-backend.ts';
import { InMemoryOperatorState } from '../state/operator-state-backend.ts';
import type { OperatorListState, OperatorStateBackend } from '../state/operator-state.ts';
import { warnGeneric } from '../types/generic-values.ts';
import { keyGroupRangeOf } from '../types/key-group.ts';
import { rowCodec } from '../types/row-codec.ts';
import { t } from '../types/t.ts';
import type { InputChannel, OutputChannel } from './channel.ts';
import { type GateChannel, type GateEvent, InputGate } from './input-gate.ts';
import { ChainBuilder, type OperatorChain } from './operator-chain.ts';
import { RemoteInputChannel, RemoteOutputChannel } from './peer-link.ts';
import { RecordWriter } from './record-writer.ts';
import { restoredSplits, SourceDriver, SPLIT_STATE } from './source-driver.ts';
import { StatusWatermarkValve } from './status-watermark-valve.ts';
import type { StreamElement } from './stream-element.ts';
import type { ChannelDescriptor, TaskDescriptor } from './task-descriptor.ts';
import { TaskMetrics } from './task-metrics.ts';
import type { TaskServices } from './task-services.ts';

/** How the parts reach their task. */
export interface TaskHooks {
  wake(): void;
  mail(mail: () => void): void;
  fail(error: unknown): void;
  timerDue(): void;
  readonly signal: AbortSignal;
}

interface EdgeWriter {
  readonly source: string;
  readonly sideOutput: string | undefined;
  readonly writer: RecordWriter;
}

const DEAD_LETTER = 'dead-letter';
const KEY_SCHEMA = t.key();

export async function openTask(
  descriptor: TaskDescriptor,
  services: TaskServices,
  hooks: TaskHooks,
): Promise<TaskParts> {
  const parts = new TaskParts(descriptor, services, hooks);
  try {
    await parts.open();
    return parts;
  } catch (error) {
    await parts.close();
    throw error;
  }
}

export class TaskParts {
  readonly metrics = new TaskMetrics();
  readonly operatorStates = new Map<string, OperatorStateBackend>();
  readonly bufferTimeoutMs: number;
  readonly headId: string;
  readonly #descriptor: TaskDescriptor;
  readonly #services: TaskServices;
  readonly #hooks: TaskHooks;
  readonly #writers: EdgeWriter[] = [];
  readonly #recordsIn;
  chain!: OperatorChain;
  keyed: KeyedStateBackend | undefined;
  gate: InputGate | undefined;
  source: SourceDriver | undefined;
  #splitState: OperatorListState<{ readonly id: string; readonly json: string }> | undefined;
  #sourceReader: ReturnType<Source<unknown>['createReader']> | undefined;
  #valve: StatusWatermarkValve | undefined;
  #watermark: number | undefined;
  #timer: { at: number; cancel(): void } | undefined;
  #interval: { cancel(): void } | undefined;
  #opened: (() => void | Promise<void>)[] = [];

  constructor(descriptor: TaskDescriptor, services: TaskServices, hooks: TaskHooks) {
    this.#descriptor = descriptor;
    this.#services = services;
    this.#hooks = hooks;
    this.headId = services.vertex.operators[0]!.id;
    this.bufferTimeoutMs = Number(
      services.program.config['execution.buffer-timeout.interval'] ?? 100,
    );
    this.#recordsIn = this.metrics.counter('numRecordsIn');
  }

  async open(): Promise<void> {
    this.#openOutputs();
    this.chain = new ChainBuilder(
      this.#services.vertex,
      (id) => this.#services.program.nodes.get(id)!,
      this.#writers,
    ).build();
    for (const node of this.#services.vertex.operators) await this.#openOperatorState(node);
    await this.#openKeyedState();
    // Tail first: an operator may emit as soon as it is open.
    for (const { node, operator, output, sideOutput } of this.chain.operators.toReversed()) {
      this.#opened.push(() => operator.close?.());
      await operator.open(this.#context(node, output, sideOutput));
    }
    if (this.#services.vertex.operators[0]!.kind === 'source') this.#openSource();
    else this.#openInputs();
    this.#refuseUnclaimed();
  }

  /** A2. */
  get available(): boolean {
    for (const { writer } of this.#writers) if (!writer.available) return false;
    for (const { operator } of this.chain.operators) if (operator.blocked === true) return false;
    return true;
  }

  get twoInput(): TwoInputOperator | undefined {
    return this.chain.twoInput;
  }

  /** What a source emits into. */
  get output(): Output<unknown> {
    return this.chain.sourceOutput!;
  }

  /** The watermark of all channels together. */
  get valveWatermark(): number {
    return this.#valve!.emitted;
  }

  process({ index, input, element }: Extract<GateEvent, { kind: 'element' }>): void {
    switch (element.kind) {
      case 'batch':
        this.#recordsIn.inc(element.batch.values.length);
        if (this.chain.oneInput !== undefined) this.chain.oneInput.processBatch(element.batch);
        else if (input === 1) this.chain.twoInput!.processBatch1(element.batch);
        else this.chain.twoInput!.processBatch2(element.batch);
        return;
      case 'watermark':
        this.#valve!.onWatermark(index, element.watermark);
        return;
      case 'status':
        this.#valve!.onStatus(index, element.idle);
        return;
      case 'latency':
        this.sendToAll(element);
    }
  }

  /** The watermark that the last element brought about, once. */
  takeWatermark(): number | undefined {
    const watermark = this.#watermark;
    this.#watermark = undefined;
    return watermark;
  }

  forwardWatermark(watermark: number): void {
    (this.chain.oneInput ?? this.chain.twoInput)?.processWatermark(watermark);
  }

  /** What timers of the head operator have collected. */
  flushHead(): void {
    (this.chain.oneInput ?? this.chain.twoInput)?.flush?.();
  }

  flush(): void {
    for (const { writer } of this.#writers) writer.flush();
  }

  sendToAll(element: StreamElement): void {
    for (const { writer } of this.#writers) writer.sendToAll(element);
  }

  /** Makes sure the task is woken when the next processing-time timer is due. */
  scheduleTimer(): void {
    const next = this.keyed?.nextProcessingTime() ?? Number.POSITIVE_INFINITY;
    if (next >= (this.#timer?.at ?? Number.POSITIVE_INFINITY)) return;
    this.#timer?.cancel();
    const { clock, timers } = this.#services.world;
    const timer = timers.after(Math.max(0, next - clock.wallMs()), () => {
      this.#timer = undefined;
      this.#hooks.timerDue();
    });
    this.#timer = { at: next, cancel: () => timer.cancel() };
  }

  async finish(): Promise<void> {
    for (const { operator } of this.chain.operators) await operator.finish?.();
    this.flush();
    this.sendToAll({ kind: 'end-of-input' });
  }

  snapshotSource(): void {
    if (this.#splitState !== undefined) this.source!.snapshotInto(this.#splitState);
  }

  async notifySource(checkpointId: number): Promise<void> {
    await this.#sourceReader?.notifyCheckpointComplete?.(checkpointId, this.source!.positions());
  }

  async close(): Promise<void> {
    const failures: unknown[] = [];
    const opened = this.#opened;
    this.#opened = [];
    for (const close of opened.toReversed()) {
      try {
        await close();
      } catch (error) {
        failures.push(error);
      }
    }
    this.#timer?.cancel();
    this.#interval?.cancel();
    if (failures.length > 0) throw asError(failures[0]);
  }

  #openOutputs(): void {
    for (const { edgeId, channels } of this.#descriptor.outputs) {
      const edge = this.#services.edges.find(({ id }) => id === edgeId)!;
      const writer = new RecordWriter({
        partitioning: edge.partitioning,
        code: this.#services.program.edges.get(edgeId)!,
        channels: channels.map((channel) => this.#outputChannel(edge, channel)),
        maxParallelism: this.#services.maxParallelismOf(edge.targetVertex),
        random: this.#services.world.random,
        subtaskIndex: this.#descriptor.subtaskIndex,
      });
      this.#writers.push({ source: edge.source, sideOutput: edge.sideOutput, writer });
      this.#opened.push(() => writer.close());
    }
    this.metrics.gauge('numRecordsOut', () =>
      this.#writers.reduce((sum, { writer }) => sum + writer.recordsOut, 0),
    );
  }

  #outputChannel(edge: JobEdge, { channel, peerWorker }: ChannelDescriptor): OutputChannel {
    if (peerWorker === this.#services.worker) {
      const local = this.#services.localChannel(channel);
      local.onAvailable = () => this.#hooks.wake();
      return local;
    }
    const { schema } = this.#services.program.edges.get(edge.id)!;
    if (schema.kind === 'generic')
      warnGeneric(
        `the edge behind "${this.#services.vertex.operators.find(({ id }) => id === edge.source)!.name}"`,
        this.#services.world.logger,
      );
    return new RemoteOutputChannel({
      peer: this.#services.peer(peerWorker),
      channel,
      codec: rowCodec(schema),
      writer: new ByteWriter(64 * 1024),
      onAvailable: () => this.#hooks.wake(),
    });
  }

  #inputChannel(edgeId: string, { channel, peerWorker }: ChannelDescriptor): InputChannel {
    if (peerWorker === this.#services.worker) {
      const local = this.#services.localChannel(channel);
      local.onInput = () => this.#hooks.wake();
      return local;
    }
    const codec = rowCodec(this.#services.program.edges.get(edgeId)!.schema);
    return new RemoteInputChannel({
      peer: this.#services.peer(peerWorker),
      channel,
      codec,
      onInput: () => this.#hooks.wake(),
    });
  }

  #openInputs(): void {
    const channels: GateChannel[] = this.#descriptor.inputs.flatMap(
      ({ edgeId, input, channels: descriptors }) =>
        descriptors.map((descriptor) => ({
          input,
          channel: this.#inputChannel(edgeId, descriptor),
        })),
    );
    this.gate = new InputGate(channels, this.#services.world.clock);
    this.#opened.push(() => this.gate!.close());
    const head = this.chain.oneInput ?? this.chain.twoInput!;
    this.#valve = new StatusWatermarkValve(channels.length, {
      watermark: (watermark) => {
        this.#watermark = watermark;
      },
      status: (idle) => head.processWatermarkStatus(idle),
    });
    this.metrics.gauge('currentInputWatermark', () => this.#valve!.emitted);
    this.#hooks.wake();
  }

  #openSource(): void {
    const node = this.#services.vertex.operators[0]!;
    const code = this.#services.program.nodes.get(node.id)!;
    const source = code.source as Source<unknown>; // a source node's code, by the graph's contract
    const { world, program, report } = this.#services;
    const { attemptId, subtaskIndex, parallelism } = this.#descriptor;
    const errors = this.metrics.counter('numRecordsInErrors');
    const intervalMs = Number(program.config['pipeline.auto-watermark-interval'] ?? 200);
    this.#sourceReader = source.createReader({
      subtaskIndex,
      parallelism,
      clock: world.clock,
      timers: world.timers,
      logger: world.logger,
      onMalformed: (record) => this.source!.onMalformed(record),
    });
    this.source = new SourceDriver({
      source,
      reader: this.#sourceReader,
      strategy: code.watermarkStrategy as WatermarkStrategy<unknown>, // as above
      output: this.chain.sourceOutput!,
      watermarkIntervalMs: intervalMs,
      now: () => world.clock.wallMs(),
      logger: world.logger,
      mail: (mail) => this.#hooks.mail(mail),
      fail: (error) => this.#hooks.fail(error),
      reportWatermark: (group, watermark) =>
        report({ type: 'watermark-report', attemptId, group, watermark }),
      deadLetter: this.chain.sourceSideOutput(DEAD_LETTER),
      countError: () => errors.inc(1),
    });
    this.#opened.push(() => this.source!.close());
    this.#splitState = this.operatorStates.get(node.id)!.getListState('splits', SPLIT_STATE);
    this.source.addSplits(restoredSplits(this.#splitState));
    this.#scheduleInterval(intervalMs);
    report({ type: 'split-request', attemptId });
  }

  #scheduleInterval(intervalMs: number): void {
    if (intervalMs <= 0 || this.#hooks.signal.aborted) return;
    this.#interval = this.#services.world.timers.after(intervalMs, () => {
      this.#hooks.mail(() => this.source!.onInterval());
      this.#scheduleInterval(intervalMs);
    });
  }

  async #openOperatorState(node: LogicalNode): Promise<void> {
    const { subtaskIndex, parallelism, restore } = this.#descriptor;
    const state = await InMemoryOperatorState.open({
      operatorId: node.id,
      subtaskIndex,
      parallelism,
      restore: restore?.operators[node.id]?.operator ?? [],
      reader: this.#services.reader,
    });
    this.operatorStates.set(node.id, state);
  }

  async #openKeyedState(): Promise<void> {
    const head = this.#services.vertex.operators[0]!;
    if (head.keySchema === undefined) return;
    const { subtaskIndex, parallelism, maxParallelism, restore } = this.#descriptor;
    const { world, program, backend, reader } = this.#services;
    this.keyed = await backend.createKeyed({
      operatorId: head.id,
      keySchema: program.nodes.get(head.id)!.keySchema ?? KEY_SCHEMA,
      keyGroupRange: keyGroupRangeOf(subtaskIndex, parallelism, maxParallelism),
      maxParallelism,
      restore: restore?.operators[head.id]?.keyed ?? [],
      reader,
      wallMs: () => world.clock.wallMs(),
      yieldToLoop: () => new Promise((resolve) => world.timers.soon(resolve)),
      allowGenericTypes: program.config['pipeline.generic-types'] === true,
    });
    this.#opened.push(() => this.keyed!.close());
  }

  #refuseUnclaimed(): void {
    const unclaimed = this.keyed?.unclaimedStates() ?? [];
    if (
      unclaimed.length === 0 ||
      this.#services.program.config['execution.state-recovery.ignore-unclaimed-state'] === true
    )
      return;
    const { name } = this.#services.vertex.operators[0]!;
    throw new MillraceError(
      'data',
      'UNCLAIMED_STATE',
      `the checkpoint holds state of operator "${name}" that the program does not declare: ${unclaimed.join(', ')}. Declare it, or set execution.state-recovery.ignore-unclaimed-state to drop it`,
      {
        details: { operator: name, states: unclaimed },
      },
    );
  }

  #context(
    node: LogicalNode,
    output: Output<unknown>,
    sideOutput: OperatorContext['sideOutput'],
  ): OperatorContext {
    const { world, program } = this.#services;
    const { jobId, subtaskIndex, parallelism, maxParallelism, attemptId, restore } =
      this.#descriptor;
    return {
      jobId,
      operatorId: node.id,
      operatorName: node.name,
      subtaskIndex,
      parallelism,
      maxParallelism,
      attemptId,
      output,
      sideOutput,
      keyed: node.id === this.headId ? this.keyed : undefined,
      operatorState: this.operatorStates.get(node.id)!,
      processingTime: {
        now: () => world.clock.wallMs(),
        registerTimer: (timestamp, callback) =>
          world.timers.after(Math.max(0, timestamp - world.clock.wallMs()), () =>
            this.#hooks.mail(callback),
          ),
      },
      metrics: this.metrics,
      clock: world.clock,
      timers: world.timers,
      logger: world.logger,
      random: world.random,
      print: (line) => world.print(line),
      mailbox: (mail) => this.#hooks.mail(mail),
      fail: (error) => this.#hooks.fail(error),
      signal: this.#hooks.signal,
      restored: restore !== undefined,
      config: program.config,
    };
  }
}
