/** One operator under construction, and what can be said about it. Sinks are handled by it; streams of operators delegate to it. */
import { invalid } from '../base/errors.ts';
import type { Delivery } from '../graph/logical-graph.ts';
import { checkParallelism, type NodeDraft } from './graph-builder.ts';

export class OperatorHandle {
  protected readonly node: NodeDraft;

  constructor(node: NodeDraft) {
    this.node = node;
  }

  /** A stable id: give one to everything with state, so that a changed program finds its state again. Unique in the job. */
  uid(uid: string): this {
    this.node.uid = uid;
    return this;
  }

  /** Shown in plans, metrics and errors. */
  name(name: string): this {
    this.node.name = name;
    return this;
  }

  /** Number of subtasks. Default `parallelism.default`. @throws `invalid` BAD_PARALLELISM */
  setParallelism(parallelism: number): this {
    this.node.parallelism = checkParallelism(parallelism);
    return this;
  }

  /** Number of key groups: the bound of the parallelism for the life of the job. Default `pipeline.max-parallelism`. */
  setMaxParallelism(maxParallelism: number): this {
    this.node.maxParallelism = checkParallelism(maxParallelism);
    return this;
  }

  /** The operator runs in a task of its own. */
  disableChaining(): this {
    this.node.chaining = 'never';
    return this;
  }

  /** The operator begins a task; what follows may join it. */
  startNewChain(): this {
    this.node.chaining = 'head';
    return this;
  }

  /**
   * Of a source or sink: results that go through it need not be more than this. Without it a job with checkpoints does not start when a path
   * promises less than `execution.checkpointing.mode` asks for. @throws `invalid` NOT_A_SOURCE_OR_SINK
   */
  acceptDelivery(delivery: Delivery): this {
    const { kind, name } = this.node;
    if (kind !== 'source' && kind !== 'sink')
      throw invalid(
        'NOT_A_SOURCE_OR_SINK',
        `"${name}" neither reads nor writes: what is accepted is said of the source or sink that falls short`,
      );
    this.node.accepts = delivery;
    return this;
  }

  /** Subtasks of one group share slots. Default: the group of the inputs if they agree, else 'default'. */
  slotSharingGroup(group: string): this {
    this.node.slotSharingGroup = group;
    return this;
  }
}

/** The end of a stream: a sink, which may still be given a name, a uid or a parallelism. */
export class DataStreamSink extends OperatorHandle {}
