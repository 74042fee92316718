/**
 * One worker's side of a job: runs the tasks it is told to, on one thread, and passes messages to and from them.
 */
import { internal, invalid } from '../../base/errors.ts';
import type { OpenLocalDisk } from '../../base/local-disk.ts';
import type { MessageLink, World } from '../../base/world.ts';
import type { JobGraph } from '../../graph/job-graph.ts';
import type { Program } from '../../graph/program.ts';
import { LocalChannel } from '../../runtime/channel.ts';
import type { ToJobMaster, ToTaskManager } from '../../runtime/messages.ts';
import { PeerLink } from '../../runtime/peer-link.ts';
import { Task } from '../../runtime/task.ts';
import type { TaskDescriptor } from '../../runtime/task-descriptor.ts';
import { TaskScheduler } from '../../runtime/task-scheduler.ts';
import type { TaskServices } from '../../runtime/task-services.ts';
import { stateBackendOf } from '../../state/backends.ts';
import type { CompactionExecutor } from '../../lsm/compaction/compaction-task.ts';
import type { StateBackend } from '../../state/keyed-state-backend.ts';
import { ChannelStateFiles } from '../../state/channel-state-files.ts';
import { StoreSnapshotReader, StoreSnapshotWriter } from '../../state/checkpoint-storage.ts';
import type { ObjectStore } from '../../storage/object-store.ts';

export interface TaskManagerParams {
  readonly name: string;
  readonly world: World;
  readonly program: Program;
  readonly graph: JobGraph;
  readonly jobId: string;
  /** Where checkpoints go. */
  readonly store: ObjectStore;
  /** Default true. False where checkpoints go with the process: final ones hold no keyed state then. */
  readonly stateOutlivesJob?: boolean;
  /** For caches. Default none. */
  readonly localDisk?: OpenLocalDisk | undefined;
  /** Starts a thread for compactions. Default none. */
  readonly compactionThread?: (() => CompactionExecutor) | undefined;
  /** Opens the state backend of that name. Default: those of `state/backends.ts`. */
  readonly openBackend?: typeof stateBackendOf | undefined;
  report(message: ToJobMaster): void;
}

export class TaskManager {
  readonly #params: TaskManagerParams;
  readonly #scheduler: TaskScheduler;
  readonly #tasks = new Map<string, Task>();
  readonly #locals = new Map<number, LocalChannel>();
  readonly #peers = new Map<string, PeerLink>();
  #backend: StateBackend | undefined;
  #channelState: ChannelStateFiles | undefined;

  constructor(params: TaskManagerParams) {
    this.#params = params;
    this.#scheduler = new TaskScheduler(params.world);
  }

  /** A link to another worker, for the data between the two. */
  addPeer(worker: string, link: MessageLink): void {
    this.#peers.set(worker, new PeerLink(link));
  }

  onMessage(message: ToTaskManager): void {
    switch (message.type) {
      case 'deploy':
        for (const descriptor of message.tasks) this.#deploy(descriptor);
        return;
      case 'trigger-checkpoint':
        for (const id of message.attemptIds)
          this.#tasks.get(id)?.triggerCheckpoint(message.barrier);
        return;
      case 'checkpoint-complete':
        for (const task of this.#tasks.values())
          task.notifyCheckpointComplete(message.checkpointId);
        return;
      case 'checkpoint-aborted':
        for (const task of this.#tasks.values()) task.notifyCheckpointAborted(message.checkpointId);
        return;
      case 'assign-splits':
        this.#tasks.get(message.attemptId)?.assignSplits(message.splits);
        return;
      case 'no-more-splits':
        this.#tasks.get(message.attemptId)?.noMoreSplits();
        return;
      case 'align-watermark':
        for (const task of this.#tasks.values())
          task.alignWatermark(message.group, message.minimum);
        return;
      case 'cancel':
        for (const id of message.attemptIds) this.#cancel(id);
        return;
      case 'finish':
        for (const id of message.attemptIds) this.#tasks.get(id)?.finish();
        return;
      case 'resume':
        for (const task of this.#tasks.values()) task.resume();
        return;
      case 'drain':
        for (const task of this.#tasks.values()) task.drain();
        return;
      case 'shutdown':
        for (const task of this.#tasks.values()) task.cancel();
    }
  }

  /** Gives up what its tasks shared; they must have ended. */
  async close(): Promise<void> {
    await this.#backend?.close?.();
  }

  #deploy(descriptor: TaskDescriptor): void {
    const task = new Task(descriptor, this.#servicesOf(descriptor));
    this.#tasks.set(descriptor.attemptId, task);
    task.start();
  }

  #cancel(attemptId: string): void {
    const task = this.#tasks.get(attemptId);
    if (task !== undefined) task.cancel();
    else this.#params.report({ type: 'task-state', attemptId, state: 'canceled' });
  }

  #servicesOf({ vertexId, inputs, outputs, jobId }: TaskDescriptor): TaskServices {
    const { program, graph, world, store, name } = this.#params;
    const vertex = graph.vertices.find(({ id }) => id === vertexId);
    if (vertex === undefined)
      throw internal('UNKNOWN_VERTEX', `vertex ${vertexId} is not in this program`);
    const edgeIds = new Set([...inputs, ...outputs].map(({ edgeId }) => edgeId));
    const channels = [...inputs, ...outputs].flatMap((edge) =>
      edge.channels.map(({ channel }) => channel),
    );
    return {
      world,
      scheduler: this.#scheduler,
      program,
      vertex,
      edges: graph.edges.filter(({ id }) => edgeIds.has(id)),
      maxParallelismOf: (id) => graph.vertices.find((other) => other.id === id)!.maxParallelism,
      backend: this.#backendOf(jobId),
      reader: new StoreSnapshotReader(store),
      worker: name,
      stateOutlivesJob: this.#params.stateOutlivesJob ?? true,
      snapshotWriter: (checkpointId, attemptId) =>
        new StoreSnapshotWriter(store, {
          jobId,
          checkpointId,
          attemptId,
          inlineThresholdBytes: Number(
            program.config['execution.checkpointing.data-inline-threshold'],
          ),
        }),
      channelState: this.#channelStateOf(jobId),
      localChannel: (channel) => this.#localChannel(channel),
      peer: (worker) => this.#peers.get(worker) ?? fail(worker),
      report: (message) => {
        if (
          message.type === 'task-state' &&
          (message.state === 'finished' ||
            message.state === 'canceled' ||
            message.state === 'failed')
        ) {
          this.#tasks.delete(message.attemptId);
          for (const channel of channels) this.#locals.delete(channel);
        }
        this.#params.report(message);
      },
    };
  }

  /** One for all tasks: they share its caches. */
  #backendOf(jobId: string): StateBackend {
    const { program, world, store } = this.#params;
    const { config } = program;
    const open = this.#params.openBackend ?? stateBackendOf;
    this.#backend ??= open(String(config['state.backend.type']), {
      jobId,
      world,
      store,
      config,
      localDisk: this.#params.localDisk,
      compactionThread: this.#params.compactionThread,
    });
    return this.#backend;
  }

  #channelStateOf(jobId: string): ChannelStateFiles {
    const { program, world, store } = this.#params;
    const of = (name: string): number => Number(program.config[`execution.checkpointing.${name}`]);
    this.#channelState ??= new ChannelStateFiles({
      store,
      timers: world.timers,
      jobId,
      incarnation: world.ids.next(),
      inlineBytesMax: of('data-inline-threshold'),
      subtasksPerFileMax: of('unaligned.max-subtasks-per-channel-state-file'),
    });
    return this.#channelState;
  }

  #localChannel(number: number): LocalChannel {
    let channel = this.#locals.get(number);
    if (channel === undefined) {
      channel = new LocalChannel();
      this.#locals.set(number, channel);
    }
    return channel;
  }
}

function fail(worker: string): never {
  throw internal('NO_PEER_LINK', `there is no link to worker ${worker}`);
}

/** @throws `invalid` JOB_GRAPH_DIVERGED when a worker has built another graph than the job master. */
export function checkFingerprint(worker: string, theirs: string, ours: string): void {
  if (theirs === ours) return;
  throw invalid(
    'JOB_GRAPH_DIVERGED',
    `worker ${worker} built another job graph from the same program. Building the graph must be deterministic: no clock, randomness, or state of the process may decide what it looks like`,
    { worker },
  );
}
