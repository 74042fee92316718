/** What a task needs from the task manager that runs it. */
import type { World } from '../base/world.ts';
import type { JobEdge, JobVertex } from '../graph/job-graph.ts';
import type { Program } from '../graph/program.ts';
import type { ChannelStateFiles } from '../state/channel-state-files.ts';
import type { StateBackend } from '../state/keyed-state-backend.ts';
import type { SnapshotReader, SnapshotWriter } from '../state/snapshot.ts';
import type { LocalChannel } from './channel.ts';
import type { ToJobMaster } from './messages.ts';
import type { PeerLink } from './peer-link.ts';
import type { TaskScheduler } from './task-scheduler.ts';

export interface TaskServices {
  readonly world: World;
  readonly scheduler: TaskScheduler;
  readonly program: Program;
  readonly vertex: JobVertex;
  /** Edges of the job graph that enter or leave the vertex. */
  readonly edges: readonly JobEdge[];
  /** maxParallelism of the vertices those edges lead to, by vertex id. */
  readonly maxParallelismOf: (vertexId: string) => number;
  readonly backend: StateBackend;
  readonly reader: SnapshotReader;
  /** Name of this worker: channels to it are local. */
  readonly worker: string;
  snapshotWriter(
    checkpointId: number,
    attemptId: string,
  ): SnapshotWriter & { readonly bytesWritten: number };
  /** Where in-flight data goes: shared by all tasks, so that few objects are written. */
  readonly channelState: Pick<ChannelStateFiles, 'write'>;
  /** The channel of that number within this worker; made by whoever asks first. */
  localChannel(channel: number): LocalChannel;
  peer(worker: string): PeerLink;
  /** False: nothing can read a checkpoint once the job has ended, so keyed state of a task that has ended is not captured. */
  readonly stateOutlivesJob: boolean;
  report(message: ToJobMaster): void;
}
