/**
 * The incoming edges of a task: what a restore brought, the gate over all channels, the time they bring, and the part of a batch that is
 * left when the outputs could not take all of it.
 *
 * Invariants
 *  I1  While a part of a batch is left nothing else is taken: the order within its channel is kept. A barrier that overtakes it saves it.
 *  I2  What an element does to the time of the input is a watermark, then a status: the watermark is told first, because what is idle
 *      is not listened to.
 *  I3  Nothing is taken from the channels before what was restored is processed.
 *  I4  Watermarks do not go back, also from what was restored to what the channels bring.
 */
import type { Timer } from '../base/world.ts';
import { type BatchCodec, batchCodec } from '../types/batch-codec.ts';
import { MIN_WATERMARK, type RecordBatch } from '../types/record-batch.ts';
import { type InFlightItem, schemaMark } from '../state/channel-state.ts';
import { overtakes } from '../graph/overtaking.ts';
import { BufferDebloater, debloatOptions } from './buffer-debloater.ts';
import type { InputChannel } from './channel.ts';
import { InputCapture } from './input-capture.ts';
import { type GateChannel, type GateEvent, InputGate, type ReportedBarrier } from './input-gate.ts';
import { InputWatermarks } from './input-watermarks.ts';
import { createPartitioner } from './partitioner.ts';
import { RemoteInputChannel } from './remote-channel.ts';
import { RestoredInput, type RestoredEdge } from './restored-input.ts';
import type { ValveOutput } from './status-watermark-valve.ts';
import type { StreamElement } from './stream-element.ts';
import type { ChannelDescriptor, InputDescriptor, TaskDescriptor } from './task-descriptor.ts';
import type { TaskServices } from './task-services.ts';

export interface InputBatch {
  readonly kind: 'batch';
  readonly input: 1 | 2;
  readonly batch: RecordBatch<unknown>;
}

/** What a task takes from its inputs. `time`: see `change`. */
export type InputEvent =
  | InputBatch
  | Exclude<GateEvent, { kind: 'element' }>
  | { readonly kind: 'time' }
  | Extract<StreamElement, { kind: 'latency' }>;

const TIME_ONLY: InputEvent = { kind: 'time' };

/** What the elements taken so far have done to the time of the input and the task has not told its operators yet (I2). */
export interface TimeChange {
  watermark: number | undefined;
  idle: boolean | undefined;
}

export interface InputHooks {
  /** There is something to take. */
  readonly wake: () => void;
  /** Milliseconds that the task has waited for input, so far. */
  readonly idleMs: () => number;
}

/** Whose records a batch holds. */
interface Taken extends InputBatch {
  /** Of the gate's channels, or of the restored stage's. */
  readonly index: number;
}

/** One channel of the gate. */
interface InputPlace {
  readonly edgeId: string;
  readonly source: number;
  readonly codec: BatchCodec<unknown>;
}

export class TaskInputs {
  readonly change: TimeChange = { watermark: undefined, idle: undefined };
  readonly #descriptor: TaskDescriptor;
  readonly #services: TaskServices;
  readonly #hooks: InputHooks;
  readonly #places: readonly InputPlace[];
  readonly #gate: InputGate;
  readonly #time: InputWatermarks;
  /** As of the newest `change`, told or not. */
  #watermark = MIN_WATERMARK;
  #idle = false;
  #restored: RestoredInput | undefined;
  #left: Taken | undefined;
  #leftFrom = 0;
  /** Records, so far. */
  #taken = 0;
  readonly #debloater: BufferDebloater | undefined;
  #debloatTimer: Timer | undefined;

  constructor(descriptor: TaskDescriptor, services: TaskServices, hooks: InputHooks) {
    this.#hooks = hooks;
    this.#descriptor = descriptor;
    this.#services = services;
    const channels: GateChannel[] = [];
    const places: InputPlace[] = [];
    try {
      for (const { edgeId, input, channels: descriptors } of descriptor.inputs) {
        const edge = services.edges.find(({ id }) => id === edgeId)!;
        const codec = batchCodec(services.program.edges.get(edgeId)!.schema);
        for (const channel of descriptors) {
          const aligns = !overtakes(edge.partitioning);
          channels.push({ input, channel: this.#create(edgeId, channel), aligns });
          places.push({ edgeId, source: channel.peerSubtask, codec });
        }
      }
    } catch (error) {
      for (const { channel } of channels) channel.close();
      throw error;
    }
    this.#places = places;
    this.#gate = new InputGate(channels, services.world, hooks.wake);
    this.#time = new InputWatermarks(
      channels.map(({ input }) => input),
      this.#timeOutput,
    );
    const debloat = debloatOptions(services.program.config);
    if (debloat === undefined) return;
    this.#debloater = new BufferDebloater(debloat, channels.length);
    this.#scheduleDebloating(this.#debloater, debloat.periodMs);
  }

  /** Undefined where batches are of any size. */
  get debloater(): BufferDebloater | undefined {
    return this.#debloater;
  }

  get watermark(): number {
    return this.#watermark;
  }

  /** Reads in-flight data that the subtask is to process first. */
  async restore(): Promise<void> {
    const restore = this.#descriptor.restore?.inFlight;
    if (restore === undefined) return;
    const { subtaskIndex, inputs } = this.#descriptor;
    this.#restored = await RestoredInput.open({
      restore,
      subtaskIndex,
      reader: this.#services.reader,
      edgeOf: (edgeId) => {
        const input = inputs.find((edge) => edge.edgeId === edgeId);
        return input === undefined ? undefined : this.#restoredEdge(input);
      },
      time: this.#timeOutput,
      onStage: () => this.#wakeTime(),
    });
  }

  /** The next thing to do, with at most `recordsMax` records; undefined when nothing can be taken. */
  poll(recordsMax: number): InputEvent | undefined {
    if (this.#left !== undefined) return this.#slice(this.#left, recordsMax);
    if (this.#restored !== undefined) {
      const event = this.#pollRestored(this.#restored, recordsMax);
      if (event !== undefined) return event;
      this.#restored = undefined;
      this.#wakeTime();
      this.#gate.release();
      return TIME_ONLY;
    }
    const event = this.#gate.poll();
    if (event?.kind !== 'element') return event;
    const { element, input, index } = event;
    if (element.kind === 'latency') return element;
    return this.#onItem(this.#time, { element, input, index }, recordsMax);
  }

  /** A barrier that waits for nothing any more, not even for credit; to be taken before anything else. */
  get overtaking(): boolean {
    return this.#gate.overtaking;
  }

  takeOvertaking(): ReportedBarrier {
    return this.#gate.takeOvertaking();
  }

  /** What that barrier overtook, as of now; what has not arrived yet follows. */
  capture(checkpointId: number): InputCapture {
    const left =
      this.#left === undefined
        ? undefined
        : { index: this.#left.index, batch: this.#left.batch, from: this.#leftFrom };
    const restored = this.#restored?.remaining(left) ?? [];
    const capture = new InputCapture(
      this.#places.map((place, index) => ({ ...place, time: this.#time.timeOf(index) })),
      restored,
      (edgeId) => schemaMark(this.#services.program.edges.get(edgeId)!.schema),
    );
    if (left !== undefined && restored.length === 0) capture.addLeft(left);
    const begun = this.#gate.capture(
      checkpointId,
      (index) => capture.of(index),
      () => capture.abandon(),
    );
    if (begun) capture.begun();
    else capture.abandon();
    return capture;
  }

  /** The coordinator gave a checkpoint up. */
  abort(checkpointId: number): void {
    this.#gate.abort(checkpointId);
  }

  close(): void {
    this.#debloatTimer?.cancel();
    this.#left = undefined;
    this.#restored = undefined;
    this.#gate.close();
  }

  /** I4 */
  readonly #timeOutput: ValveOutput = {
    watermark: (watermark) => {
      if (watermark <= this.#watermark) return;
      this.#watermark = watermark;
      this.change.watermark = watermark;
    },
    status: (idle) => {
      this.#idle = idle;
      this.change.idle = idle;
    },
  };

  /** Other channels are listened to from here on, and none of them is idle. */
  #wakeTime(): void {
    if (this.#idle) this.#timeOutput.status(false);
  }

  #pollRestored(restored: RestoredInput, recordsMax: number): InputEvent | undefined {
    const next = restored.poll();
    if (next === undefined) return undefined;
    if (next === 'time') return TIME_ONLY;
    return this.#onItem(restored, { ...next, element: next.item }, recordsMax);
  }

  #onItem(
    time: Pick<InputWatermarks, 'onWatermark' | 'onStatus'>,
    {
      element,
      input,
      index,
    }: { readonly element: InFlightItem; readonly input: 1 | 2; readonly index: number },
    recordsMax: number,
  ): InputEvent {
    switch (element.kind) {
      case 'batch':
        return this.#slice({ kind: 'batch', input, batch: element.batch, index }, recordsMax);
      case 'watermark':
        time.onWatermark(index, element.watermark);
        return TIME_ONLY;
      case 'status':
        time.onStatus(index, element.idle);
        return TIME_ONLY;
    }
  }

  #scheduleDebloating(debloater: BufferDebloater, periodMs: number): void {
    const { clock, timers } = this.#services.world;
    const [taken, sinceMs, idleMs] = [this.#taken, clock.monotonicMs(), this.#hooks.idleMs()];
    this.#debloatTimer = timers.after(periodMs, () => {
      const workedMs = clock.monotonicMs() - sinceMs - (this.#hooks.idleMs() - idleMs);
      const size = debloater.observe(this.#taken - taken, workedMs);
      if (size !== undefined) this.#gate.limitBatches(size);
      this.#scheduleDebloating(debloater, periodMs);
    });
  }

  #slice(whole: Taken, recordsMax: number): InputBatch {
    const { values, timestamps } = whole.batch;
    const from = this.#leftFrom;
    const to = Math.min(values.length, from + recordsMax);
    const ends = to === values.length;
    this.#taken += to - from;
    this.#left = ends ? undefined : whole;
    this.#leftFrom = ends ? 0 : to;
    if (from === 0 && ends) return whole;
    return {
      kind: 'batch',
      input: whole.input,
      batch: { values: values.slice(from, to), timestamps: timestamps?.slice(from, to) ?? null },
    };
  }

  #restoredEdge({ edgeId, input }: InputDescriptor): RestoredEdge {
    const { program, edges, world } = this.#services;
    const { subtaskIndex, parallelism, maxParallelism } = this.#descriptor;
    const code = program.edges.get(edgeId)!;
    const { partitioning } = edges.find(({ id }) => id === edgeId)!;
    const partitioner = createPartitioner({
      partitioning,
      code,
      channels: parallelism,
      maxParallelism,
      random: world.random,
      subtaskIndex,
    });
    return { input, schema: code.schema, codec: batchCodec(code.schema), partitioner };
  }

  #create(edgeId: string, { channel, peerWorker }: ChannelDescriptor): InputChannel {
    if (peerWorker === this.#services.worker) {
      const local = this.#services.localChannel(channel);
      local.onInput = this.#hooks.wake;
      return local;
    }
    return new RemoteInputChannel({
      peer: this.#services.peer(peerWorker),
      channel,
      schema: this.#services.program.edges.get(edgeId)!.schema,
      onInput: this.#hooks.wake,
    });
  }
}
