/** What all streams are: places in the graph where records come out, for the next operator to read. */
import { schemaToJson } from '../types/schema-json.ts';
import type { Schema } from '../types/schema.ts';
import type { GraphBuilder, InputDraft, NodeDraft } from './graph-builder.ts';

/** How the next operator will read a stream. */
export type Reading = Omit<InputDraft, 'input'>;

export class Stream<T> {
  protected readonly builder: GraphBuilder;
  /** One reading, or several for a union. */
  protected readonly readings: readonly Reading[];

  constructor(builder: GraphBuilder, readings: readonly Reading[]) {
    this.builder = builder;
    this.readings = readings;
  }

  /** The schema of the records, where known. Of a union, that of all its parts: undefined when they differ. */
  get schema(): Schema<T> | undefined {
    const [first, ...others] = this.readings.map(schemaOf);
    const same = others.every((other) => other === first || textOf(other) === textOf(first));
    return same ? (first as Schema<T> | undefined) : undefined; // set together with the stream's type
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

const schemaOf = ({ source, sideOutput }: Reading): Schema<unknown> | undefined =>
  sideOutput === undefined ? source.schema : sideOutput.schema;

const textOf = (schema: Schema<unknown> | undefined): string =>
  schema === undefined ? '' : JSON.stringify(schemaToJson(schema));

/** What comes out of an operator, undivided. */
export const mainOutputOf = (node: NodeDraft): readonly Reading[] => [
  { source: node, partitioning: 'forward' },
];
