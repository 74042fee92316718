/**
 * The incoming edges of a task: the gate over all channels, the time they bring, and the part of a batch that is left when the outputs could
 * not take all of it.
 *
 * Invariants
 *  I1  While a part of a batch is left nothing else is taken: the order within its channel is kept, and no barrier overtakes it.
 *  I2  What an element does to the time of the input is a watermark, then a status: the watermark is told first, because what is idle
 *      is not listened to.
 */
import type { RecordBatch } from '../types/record-batch.ts';
import type { InputChannel } from './channel.ts';
import { type GateChannel, type GateEvent, InputGate } from './input-gate.ts';
import { InputWatermarks } from './input-watermarks.ts';
import { RemoteInputChannel } from './remote-channel.ts';
import type { StreamElement } from './stream-element.ts';
import type { ChannelDescriptor, TaskDescriptor } from './task-descriptor.ts';
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

export class TaskInputs {
  readonly change: TimeChange = { watermark: undefined, idle: undefined };
  readonly #gate: InputGate;
  readonly #time: InputWatermarks;
  readonly #services: TaskServices;
  readonly #onInput: () => void;
  #left: InputBatch | undefined;
  #leftFrom = 0;

  constructor(descriptor: TaskDescriptor, services: TaskServices, onInput: () => void) {
    this.#services = services;
    this.#onInput = onInput;
    const channels: GateChannel[] = [];
    try {
      for (const { edgeId, input, channels: descriptors } of descriptor.inputs)
        for (const channel of descriptors)
          channels.push({ input, channel: this.#create(edgeId, channel) });
    } catch (error) {
      for (const { channel } of channels) channel.close();
      throw error;
    }
    this.#gate = new InputGate(channels, services.world.clock);
    this.#time = new InputWatermarks(
      channels.map(({ input }) => input),
      {
        watermark: (watermark) => {
          this.change.watermark = watermark;
        },
        status: (idle) => {
          this.change.idle = idle;
        },
      },
    );
  }

  get watermark(): number {
    return this.#time.watermark;
  }

  /** The next thing to do, with at most `recordsMax` records; undefined when nothing can be taken. */
  poll(recordsMax: number): InputEvent | undefined {
    if (this.#left !== undefined) return this.#slice(this.#left, recordsMax);
    const event = this.#gate.poll();
    if (event?.kind !== 'element') return event;
    const { element, input, index } = event;
    switch (element.kind) {
      case 'batch':
        return this.#slice({ kind: 'batch', input, batch: element.batch }, recordsMax);
      case 'watermark':
        this.#time.onWatermark(index, element.watermark);
        return TIME_ONLY;
      case 'status':
        this.#time.onStatus(index, element.idle);
        return TIME_ONLY;
      case 'latency':
        return element;
    }
  }

  /** The coordinator gave a checkpoint up. */
  abort(checkpointId: number): void {
    this.#gate.abort(checkpointId);
  }

  close(): void {
    this.#left = undefined;
    this.#gate.close();
  }

  #slice(whole: InputBatch, recordsMax: number): InputBatch {
    const { values, timestamps } = whole.batch;
    const from = this.#leftFrom;
    const to = Math.min(values.length, from + recordsMax);
    const ends = to === values.length;
    this.#left = ends ? undefined : whole;
    this.#leftFrom = ends ? 0 : to;
    if (from === 0 && ends) return whole;
    return {
      kind: 'batch',
      input: whole.input,
      batch: { values: values.slice(from, to), timestamps: timestamps?.slice(from, to) ?? null },
    };
  }

  #create(edgeId: string, { channel, peerWorker }: ChannelDescriptor): InputChannel {
    if (peerWorker === this.#services.worker) {
      const local = this.#services.localChannel(channel);
      local.onInput = this.#onInput;
      return local;
    }
    return new RemoteInputChannel({
      peer: this.#services.peer(peerWorker),
      channel,
      schema: this.#services.program.edges.get(edgeId)!.schema,
      onInput: this.#onInput,
    });
  }
}
