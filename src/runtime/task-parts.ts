/**
 * Everything a running task owns, opened in order and closed in reverse: outputs, state, operators, input.
 */
import { asError, MillraceError } from '../base/errors.ts';
import type { LogicalNode } from '../graph/logical-graph.ts';
import type { Suspensions, TwoInputOperator } from '../operators/contract.ts';
import type { ControllerTarget, RecordGate } from '../state/async-execution-controller.ts';
import type { InputNumber } from '../state/waiting-keys.ts';
import type { KeyedStateBackend } from '../state/keyed-state-backend.ts';
import type { OperatorStateBackend } from '../state/operator-state.ts';
import { InMemoryOperatorState } from '../state/operator-state-backend.ts';
import type { BatchCodec } from '../types/batch-codec.ts';
import { batchCodec } from '../types/batch-codec.ts';
import { keyIdentity } from '../types/key-codec.ts';
import { keyGroupRangeOf } from '../types/key-group.ts';
import { keyGroupFunction } from '../types/key-hash.ts';
import type { RecordBatch } from '../types/record-batch.ts';
import { t } from '../types/t.ts';
import { AsyncState, type Marker } from './async-state.ts';
import { type ChainedOperator, ChainBuilder, type OperatorChain } from './operator-chain.ts';
import { createOperatorContext } from './operator-context.ts';
import { SourceInput } from './source-input.ts';
import type { StreamElement } from './stream-element.ts';
import type { TaskDescriptor } from './task-descriptor.ts';
import { TaskInputs } from './task-inputs.ts';
import { TaskMetrics } from './task-metrics.ts';
import { TaskOutputs } from './task-outputs.ts';
import type { TaskServices } from './task-services.ts';
import type { TaskTime } from './task-time.ts';

/** How the parts reach their task. */
export interface TaskHooks {
  readonly wake: () => void;
  readonly mail: (mail: () => void) => void;
  /** Mails of operators' timers. */
  readonly timerMail: (mail: () => void) => void;
  readonly fail: (error: unknown) => void;
  /** Keyed timers of processing time are due. */
  readonly timersDue: () => void;
  readonly time: TaskTime;
  readonly signal: AbortSignal;
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
    // The first failure counts; what closing finds besides is only logged.
    await parts.close().catch((closing: unknown) => {
      services.world.logger.log('warn', 'a task that could not be opened did not close cleanly', {
        attemptId: descriptor.attemptId,
        reason: asError(closing).message,
      });
    });
    throw error;
  }
}

export class TaskParts {
  readonly metrics: TaskMetrics;
  readonly operatorStates = new Map<string, OperatorStateBackend>();
  readonly bufferTimeoutMs: number;
  readonly headId: string;
  readonly #descriptor: TaskDescriptor;
  readonly #services: TaskServices;
  readonly #hooks: TaskHooks;
  readonly #recordsIn;
  outputs!: TaskOutputs;
  chain!: OperatorChain;
  keyed: KeyedStateBackend | undefined;
  /** Either of the two, by the kind of the head. */
  inputs: TaskInputs | undefined;
  source: SourceInput | undefined;
  /** Where state may be elsewhere. */
  asyncState: AsyncState | undefined;
  #timer: { readonly at: number; cancel(): void } | undefined;
  #opened: (() => void | Promise<void>)[] = [];

  constructor(descriptor: TaskDescriptor, services: TaskServices, hooks: TaskHooks) {
    this.#descriptor = descriptor;
    this.#services = services;
    this.#hooks = hooks;
    this.metrics = new TaskMetrics(hooks.time);
    this.headId = services.vertex.operators[0]!.id;
    this.bufferTimeoutMs = Number(
      services.program.config['execution.buffer-timeout.interval'] ?? 100,
    );
    this.#recordsIn = this.metrics.counter('numRecordsIn');
  }

  async open(): Promise<void> {
    const { vertex, program } = this.#services;
    this.outputs = new TaskOutputs(this.#descriptor, this.#services, this.#hooks);
    this.#opened.push(() => this.outputs.close());
    this.chain = new ChainBuilder(
      vertex,
      (id) => program.nodes.get(id)!,
      this.outputs.writers,
    ).build();
    for (const node of vertex.operators) await this.#openOperatorState(node);
    await this.#openKeyedState();
    // Tail first: an operator may emit as soon as it is open.
    for (const chained of this.chain.operators.toReversed()) await this.#openOperator(chained);
    if (vertex.operators[0]!.kind === 'source') this.#openSource();
    else await this.#openInputs();
    this.#refuseUnclaimed();
    this.#registerGauges();
  }

  /** The job ends when what exists now is read, and goes on from there in its next run. */
  get runsUntilNow(): boolean {
    return this.#services.program.config['execution.until'] === 'now';
  }

  /** A2. */
  get available(): boolean {
    if (!this.outputs.available) return false;
    for (const { operator } of this.chain.operators) if (operator.blocked === true) return false;
    return true;
  }

  get twoInput(): TwoInputOperator | undefined {
    return this.chain.twoInput;
  }

  /** Tells the gate which of these records lack state. */
  prepare(input: InputNumber, batch: RecordBatch<unknown>, gate: RecordGate): void {
    const { oneInput, twoInput } = this.chain;
    if (oneInput !== undefined) oneInput.prepareBatch?.(batch, gate);
    else if (input === 1) twoInput!.prepareBatch1?.(batch, gate);
    else twoInput!.prepareBatch2?.(batch, gate);
  }

  /** State that may be elsewhere, or records that waited for it before a restart, are the execution controller's. */
  async openAsyncState(apply: ControllerTarget<Marker>['apply']): Promise<void> {
    const { keyed } = this;
    const handles = this.#descriptor.restore?.operators[this.headId]?.keyed ?? [];
    if (keyed === undefined) return;
    const suspends = this.#suspends;
    const waited = handles.some(({ waiting }) => waiting !== undefined);
    if (keyed.residency === undefined && !suspends && !waited) return;
    const { program, reader } = this.#services;
    const keySchema = program.nodes.get(this.headId)!.keySchema ?? KEY_SCHEMA;
    const prepares = keyed.residency !== undefined || suspends;
    this.asyncState = new AsyncState({
      ...this.#hooks,
      target: {
        prepare: (input, batch, gate) => {
          if (prepares) this.prepare(input, batch, gate);
        },
        process: (input, batch) => this.process(input, batch),
        processRest: this.#processRest,
        available: () => this.available,
        overtakes: !suspends && this.chain.oneInput?.ignoresWatermarks === true,
        oneByOne: suspends || (prepares && this.chain.oneInput?.readsWhatIsWritten === true),
        apply,
      },
      residency: keyed.residency,
      identify: keyIdentity(keySchema),
      keyGroupOf: keyGroupFunction(keySchema, keyed.maxParallelism),
      codecOf: (input) => this.#inputCodec(input),
      config: program.config,
      metrics: this.metrics,
      clock: this.#services.world.clock,
    });
    this.#opened.push(() => this.asyncState!.close());
    await this.asyncState.restore(handles, reader, keyed.keyGroupRange);
  }

  get #suspends(): boolean {
    return (this.chain.oneInput ?? this.chain.twoInput)?.suspends === true;
  }

  /** The controller is opened after the operators that use it. */
  get #suspensions(): Suspensions {
    const state = (): AsyncState => this.asyncState!; // one is opened for an operator that suspends
    return {
      begin: (key, start) => state().begin(key, start),
      end: (key) => state().end(key),
      afterLoad: (resume) => state().afterLoad(resume),
      finishFunctions: () => state().finishFunctions(),
    };
  }

  /** Streams of one input have one type. */
  #inputCodec(input: InputNumber): BatchCodec<unknown> {
    const { edgeId } = this.#descriptor.inputs.find((edge) => edge.input === input)!;
    return batchCodec(this.#services.program.edges.get(edgeId)!.schema);
  }

  process(input: InputNumber, batch: RecordBatch<unknown>): void {
    this.#recordsIn.inc(batch.values.length);
    if (this.chain.oneInput !== undefined) this.chain.oneInput.processBatch(batch);
    else if (input === 1) this.chain.twoInput!.processBatch1(batch);
    else this.chain.twoInput!.processBatch2(batch);
  }

  /** Undefined: the head operator cannot leave records out. */
  get #processRest(): ControllerTarget<Marker>['processRest'] {
    const head = this.chain.oneInput;
    if (head?.processRest === undefined) return undefined;
    return (_input, batch, left) => {
      this.#recordsIn.inc(batch.values.length - left.count);
      head.processRest!(batch, left);
    };
  }

  forwardWatermark(watermark: number): void {
    (this.chain.oneInput ?? this.chain.twoInput)?.processWatermark(watermark);
  }

  forwardStatus(idle: boolean): void {
    (this.chain.oneInput ?? this.chain.twoInput)?.processWatermarkStatus(idle);
  }

  /** What timers of the head operator have collected. */
  flushHead(): void {
    (this.chain.oneInput ?? this.chain.twoInput)?.flush?.();
  }

  /** What mails have made operators collect. */
  flushOperators(): void {
    for (const { operator } of this.chain.operators) operator.flush?.();
  }

  sendToAll(element: StreamElement): void {
    this.outputs.sendToAll(element);
  }

  /** Makes sure the task is woken when the next processing-time timer is due. */
  scheduleTimer(): void {
    const next = this.keyed?.nextProcessingTime() ?? Number.POSITIVE_INFINITY;
    if (next >= (this.#timer?.at ?? Number.POSITIVE_INFINITY)) return;
    this.#timer?.cancel();
    const { clock, timers } = this.#services.world;
    const timer = timers.after(Math.max(0, next - clock.wallMs()), () => {
      this.#timer = undefined;
      this.#hooks.timersDue();
    });
    this.#timer = { at: next, cancel: () => timer.cancel() };
  }

  async finish(): Promise<void> {
    this.source?.driver.finish();
    for (const { operator } of this.chain.operators) await operator.finish?.();
    this.outputs.flush();
    this.sendToAll({ kind: 'end-of-input' });
  }

  /** Closes everything, also when something fails to; rejects with the first failure. Idempotent. */
  async close(): Promise<void> {
    const failures: unknown[] = [];
    const opened = this.#opened;
    this.#opened = [];
    this.#timer?.cancel();
    for (const close of opened.toReversed()) {
      try {
        await close();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw asError(failures[0]);
  }

  async #openOperator({ node, operator, output, sideOutput }: ChainedOperator): Promise<void> {
    this.#opened.push(() => operator.close?.());
    const context = createOperatorContext({
      ...this.#hooks,
      descriptor: this.#descriptor,
      services: this.#services,
      node,
      output,
      sideOutput,
      keyed: node.id === this.headId ? this.keyed : undefined,
      suspensions: operator.suspends === true ? this.#suspensions : undefined,
      operatorState: this.operatorStates.get(node.id)!,
      metrics: this.metrics,
    });
    await operator.open(context);
  }

  async #openInputs(): Promise<void> {
    const inputs = new TaskInputs(this.#descriptor, this.#services, {
      wake: this.#hooks.wake,
      idleMs: () => this.#hooks.time.read().idleMs,
    });
    this.#opened.push(() => inputs.close());
    await inputs.restore();
    this.inputs = inputs;
  }

  #openSource(): void {
    this.source = new SourceInput({
      ...this.#hooks,
      descriptor: this.#descriptor,
      services: this.#services,
      code: this.#services.program.nodes.get(this.headId)!,
      state: this.operatorStates.get(this.headId)!,
      metrics: this.metrics,
      output: this.chain.sourceOutput!,
      deadLetter: this.chain.sourceSideOutput(DEAD_LETTER),
      receptiveMs: () => this.#hooks.time.receptiveMs(),
    });
    this.#opened.push(() => this.source!.close());
  }

  #registerGauges(): void {
    const { metrics, outputs, inputs } = this;
    metrics.gauge('numRecordsOut', () => outputs.recordsOut);
    metrics.gauge('numBytesOut', () => outputs.bytesOut);
    this.keyed?.registerMetrics?.(metrics);
    metrics.gauge('currentOutputWatermark', () => outputs.watermark);
    if (inputs === undefined) return;
    metrics.gauge('currentInputWatermark', () => inputs.watermark);
    const { debloater } = inputs;
    if (debloater === undefined) return;
    metrics.gauge('debloatedBufferSize', () => debloater.size);
    metrics.gauge('estimatedTimeToConsumeBuffersMs', () => debloater.estimatedMs);
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
    const { attemptId, subtaskIndex, parallelism, maxParallelism, restore } = this.#descriptor;
    const { world, program, backend, reader } = this.#services;
    this.keyed = await backend.createKeyed({
      operatorId: head.id,
      attemptId,
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
}
