/** What all streams are: a place in the graph where records come out, and what can be said about the operator there. */
import type { Schema } from '../types/schema.ts';
import {
  checkParallelism,
  type GraphBuilder,
  type InputDraft,
  type NodeDraft,
} from './graph-builder.ts';

/** How the next operator will read a stream. */
export type Reading = Omit<InputDraft, 'input'>;

export class Stream<T> {
  protected readonly builder: GraphBuilder;
  protected readonly node: NodeDraft;
  /** One reading, or several for a union. */
  protected readonly readings: readonly Reading[];

  constructor(
    builder: GraphBuilder,
    node: NodeDraft,
    readings: readonly Reading[] = [{ source: node, partitioning: 'forward' }],
  ) {
    this.builder = builder;
    this.node = node;
    this.readings = readings;
  }

  /** The schema of the records, where known. */
  get schema(): Schema<T> | undefined {
    return this.node.schema as Schema<T> | undefined; // set together with the stream's type
  }

  /** A stable id for the operator: give one to everything with state, so that a changed program finds its state again. */
  uid(uid: string): this {
    this.node.uid = uid;
    return this;
  }

  name(name: string): this {
    this.node.name = name;
    return this;
  }

  setParallelism(parallelism: number): this {
    this.node.parallelism = checkParallelism(parallelism);
    return this;
  }

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

  slotSharingGroup(group: string): this {
    this.node.slotSharingGroup = group;
    return this;
  }

  /** @internal The readings as edges into `input` of the next operator. */
  inputs(input: 1 | 2 = 1): readonly InputDraft[] {
    return this.readings.map((reading) => ({ ...reading, input }));
  }

  /** @internal */
  get graph(): GraphBuilder {
    return this.builder;
  }
}
