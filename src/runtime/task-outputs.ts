/** The outgoing edges of a task: a record writer for each, with its channels. */
import { overtakes } from '../graph/overtaking.ts';
import type { JobEdge } from '../graph/job-graph.ts';
import { warnGeneric } from '../types/generic-values.ts';
import type { OutputChannel } from './channel.ts';
import { OutputCapture, type OutputPlace } from './output-capture.ts';
import { RecordWriter } from './record-writer.ts';
import { RemoteOutputChannel } from './remote-channel.ts';
import type { CheckpointBarrier, StreamElement } from './stream-element.ts';
import type { ChannelDescriptor, TaskDescriptor } from './task-descriptor.ts';
import type { TaskServices } from './task-services.ts';

/** An edge, by the operator it leaves from. */
export interface EdgeWriter {
  readonly source: string;
  readonly sideOutput: string | undefined;
  readonly writer: RecordWriter;
}

export interface OutputHooks {
  /** There is credit again. */
  readonly wake: () => void;
  readonly fail: (error: unknown) => void;
}

export class TaskOutputs {
  readonly writers: readonly EdgeWriter[];
  readonly #services: TaskServices;
  readonly #hooks: OutputHooks;
  readonly #channels: OutputChannel[] = [];
  /** Those in which a barrier may overtake. */
  readonly #overtaken: OutputPlace[] = [];
  #capture: OutputCapture | undefined;

  constructor(descriptor: TaskDescriptor, services: TaskServices, hooks: OutputHooks) {
    this.#services = services;
    this.#hooks = hooks;
    try {
      this.writers = descriptor.outputs.map(({ edgeId, channels }) => {
        const edge = services.edges.find(({ id }) => id === edgeId)!;
        const writer = new RecordWriter({
          partitioning: edge.partitioning,
          code: services.program.edges.get(edgeId)!,
          channels: channels.map((channel) => this.#open(edge, channel)),
          maxParallelism: services.maxParallelismOf(edge.targetVertex),
          random: services.world.random,
          subtaskIndex: descriptor.subtaskIndex,
        });
        return { source: edge.source, sideOutput: edge.sideOutput, writer };
      });
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** True when every channel has credit. */
  get available(): boolean {
    for (const { writer } of this.writers) if (!writer.available) return false;
    return true;
  }

  get backlog(): number {
    let most = 0;
    for (const { writer } of this.writers) most = Math.max(most, writer.backlog);
    return most;
  }

  get recordsOut(): number {
    return this.writers.reduce((sum, { writer }) => sum + writer.recordsOut, 0);
  }

  get bytesOut(): number {
    return this.writers.reduce((sum, { writer }) => sum + writer.bytesOut, 0);
  }

  /** The last watermark that left. */
  get watermark(): number {
    return this.writers.reduce(
      (least, { writer }) => Math.min(least, writer.watermarkOut),
      Number.POSITIVE_INFINITY,
    );
  }

  flush(): void {
    for (const { writer } of this.writers) writer.flush();
  }

  sendToAll(element: StreamElement): void {
    for (const { writer } of this.writers) writer.sendToAll(element);
  }

  /** Sends a barrier on. What it overtakes on its way out, now or later, is in the capture. */
  sendBarrier(barrier: CheckpointBarrier): OutputCapture | undefined {
    this.sendToAll(barrier);
    this.#capture?.abandon();
    this.#capture = undefined;
    if (barrier.overtakesAfterMs === undefined) return undefined;
    this.#capture = new OutputCapture(this.#overtaken, barrier, this.#services.world.timers);
    return this.#capture;
  }

  /** The coordinator gave a checkpoint up. */
  abort(checkpointId: number): void {
    if (this.#capture?.checkpointId === checkpointId) this.#capture.abandon();
  }

  close(): void {
    this.#capture?.abandon();
    for (const channel of this.#channels.splice(0)) channel.close();
  }

  #open(edge: JobEdge, descriptor: ChannelDescriptor): OutputChannel {
    const channel = this.#create(edge, descriptor);
    this.#channels.push(channel);
    if (overtakes(edge.partitioning)) {
      const { schema } = this.#services.program.edges.get(edge.id)!;
      this.#overtaken.push({ edgeId: edge.id, target: descriptor.peerSubtask, channel, schema });
    }
    return channel;
  }

  #create(
    edge: JobEdge,
    { channel, peerWorker, start = 'open' }: ChannelDescriptor,
  ): OutputChannel {
    if (peerWorker === this.#services.worker) {
      const local = this.#services.localChannel(channel);
      if (start === 'held') local.hold();
      local.onAvailable = this.#hooks.wake;
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
      schema,
      onAvailable: this.#hooks.wake,
      start,
      onBarrierLeft: () => this.#capture?.settle(),
      fail: this.#hooks.fail,
    });
  }
}
