/**
 * The operators of one vertex in one subtask, wired.
 *
 * A vertex is a tree rooted at its head. Runs of stateless operators without branches become one operator with generated code. An
 * operator's output goes to the operators chained behind it, by a call, and to the record writers of the edges that leave the vertex.
 */
import { assert } from '../base/errors.ts';
import type { Sink } from '../connector/sink.ts';
import type { JobVertex } from '../graph/job-graph.ts';
import type { LogicalNode } from '../graph/logical-graph.ts';
import type { NodeCode } from '../graph/program.ts';
import type {
  OneInputOperator,
  Operator,
  OperatorCode,
  Output,
  StatelessStep,
  TwoInputOperator,
} from '../operators/contract.ts';
import { SinkOperator } from '../operators/sink-operator.ts';
import { type NamedStep, StatelessOperator } from '../operators/stateless-operator.ts';
import type { RecordBatch } from '../types/record-batch.ts';
import type { RecordWriter } from './record-writer.ts';

/** An operator in its place. */
export interface ChainedOperator {
  readonly node: LogicalNode;
  readonly operator: Operator;
  readonly output: Output<unknown>;
  sideOutput(tag: string): Output<unknown> | undefined;
}

export interface OperatorChain {
  /** In the order of the data, head first. A source head has no operator. */
  readonly operators: readonly ChainedOperator[];
  /** What a source head emits into. */
  readonly sourceOutput: Output<unknown> | undefined;
  /** A source head's side outputs. */
  sourceSideOutput(tag: string): Output<unknown> | undefined;
  readonly oneInput: OneInputOperator | undefined;
  readonly twoInput: TwoInputOperator | undefined;
}

const DISCARD: Output<unknown> = {
  emitBatch: () => {},
  emitWatermark: () => {},
  emitWatermarkStatus: () => {},
};

/** Hands everything to one operator. */
const into = (operator: OneInputOperator): Output<unknown> => ({
  emitBatch: (batch) => operator.processBatch(batch),
  emitWatermark: (watermark) => operator.processWatermark(watermark),
  emitWatermarkStatus: (idle) => operator.processWatermarkStatus(idle),
});

/** Records only: what a side output that is chained receives gets its time from the main output's. */
class SideOutput implements Output<unknown> {
  readonly #targets: readonly Output<unknown>[];
  constructor(targets: readonly Output<unknown>[]) {
    this.#targets = targets;
  }
  emitBatch(batch: RecordBatch<unknown>): void {
    for (const target of this.#targets) target.emitBatch(batch);
  }
  emitWatermark(): void {}
  emitWatermarkStatus(): void {}
}

class MainOutput implements Output<unknown> {
  readonly #targets: readonly Output<unknown>[];
  /** Watermarks go to the side outputs too. */
  readonly #all: readonly Output<unknown>[];
  constructor(targets: readonly Output<unknown>[], sides: readonly Output<unknown>[]) {
    this.#targets = targets;
    this.#all = [...targets, ...sides];
  }
  emitBatch(batch: RecordBatch<unknown>): void {
    for (const target of this.#targets) target.emitBatch(batch);
  }
  emitWatermark(watermark: number): void {
    for (const target of this.#all) target.emitWatermark(watermark);
  }
  emitWatermarkStatus(idle: boolean): void {
    for (const target of this.#all) target.emitWatermarkStatus(idle);
  }
}

interface Wiring {
  readonly main: Output<unknown>;
  readonly sides: ReadonlyMap<string, Output<unknown>>;
}

export class ChainBuilder {
  readonly #vertex: JobVertex;
  readonly #code: (operatorId: string) => NodeCode;
  /** Writers of the edges that leave the vertex, by the operator they leave from. */
  readonly #writers: readonly {
    readonly source: string;
    readonly sideOutput: string | undefined;
    readonly writer: RecordWriter;
  }[];
  readonly #operators: ChainedOperator[] = [];

  constructor(
    vertex: JobVertex,
    code: (operatorId: string) => NodeCode,
    writers: readonly {
      readonly source: string;
      readonly sideOutput: string | undefined;
      readonly writer: RecordWriter;
    }[],
  ) {
    this.#vertex = vertex;
    this.#code = code;
    this.#writers = writers;
  }

  build(): OperatorChain {
    const head = this.#vertex.operators[0]!;
    if (head.kind === 'source') {
      const { main, sides } = this.#wire(head.id);
      return {
        operators: this.#operators.toReversed(),
        sourceOutput: main,
        sourceSideOutput: (tag) => sides.get(tag),
        oneInput: undefined,
        twoInput: undefined,
      };
    }
    const operator = this.#build(head);
    const two = 'processBatch1' in operator;
    return {
      operators: this.#operators.toReversed(),
      sourceOutput: undefined,
      sourceSideOutput: () => undefined,
      oneInput: two ? undefined : (operator as OneInputOperator), // the other operator shape
      twoInput: two ? (operator as TwoInputOperator) : undefined,
    };
  }

  /** Builds everything behind an operator, so that the list ends up tail first. */
  #wire(id: string): Wiring {
    const targets: Output<unknown>[] = [];
    const sideTargets = new Map<string, Output<unknown>[]>();
    const add = (tag: string | undefined, output: Output<unknown>): void => {
      if (tag === undefined) targets.push(output);
      else sideTargets.set(tag, [...(sideTargets.get(tag) ?? []), output]);
    };
    for (const { source, sideOutput, writer } of this.#writers)
      if (source === id) add(sideOutput, writer);
    for (const edge of this.#vertex.chainEdges) {
      if (edge.source !== id) continue;
      const node = this.#vertex.operators.find((operator) => operator.id === edge.target)!;
      add(edge.sideOutput, into(this.#build(node) as OneInputOperator)); // two-input operators are heads
    }
    const sides = new Map([...sideTargets].map(([tag, outputs]) => [tag, new SideOutput(outputs)]));
    const sideAll = [...sideTargets.values()].flat();
    const single = targets.length === 1 && sideAll.length === 0 ? targets[0] : undefined;
    const main =
      single ??
      (targets.length + sideAll.length === 0 ? DISCARD : new MainOutput(targets, sideAll));
    return { main, sides };
  }

  #build(node: LogicalNode): Operator {
    const run = node.kind === 'stateless' ? this.#statelessRun(node) : [node];
    const last = run.at(-1)!;
    const { main, sides } = this.#wire(last.id);
    const operator =
      node.kind === 'stateless'
        ? new StatelessOperator(run.map((step) => this.#step(step)))
        : this.#create(node);
    this.#operators.push({
      node: last,
      operator,
      output: main,
      sideOutput: (tag) => sides.get(tag),
    });
    return operator;
  }

  /** The stateless operators from `node` on that follow one another with nothing else attached. */
  #statelessRun(node: LogicalNode): readonly LogicalNode[] {
    const run = [node];
    for (;;) {
      const { id } = run.at(-1)!;
      const out = this.#vertex.chainEdges.filter(({ source }) => source === id);
      const next =
        out.length === 1 && out[0]!.sideOutput === undefined
          ? this.#vertex.operators.find((operator) => operator.id === out[0]!.target)
          : undefined;
      if (next?.kind !== 'stateless' || this.#writers.some(({ source }) => source === id))
        return run;
      run.push(next);
    }
  }

  #step(node: LogicalNode): NamedStep {
    const operator = this.#code(node.id).operator as OperatorCode; // a stateless node's code, by the graph's contract
    assert(operator.kind === 'stateless', `operator ${node.name} has stateless code`);
    const step: StatelessStep = operator.step;
    return { step, operatorId: node.id, name: node.name };
  }

  #create(node: LogicalNode): Operator {
    const code = this.#code(node.id);
    if (node.kind === 'sink') return new SinkOperator(code.sink as Sink<unknown>); // a sink node's code, by the graph's contract
    const operator = code.operator as OperatorCode; // an operator node's code, by the graph's contract
    assert(operator.kind !== 'stateless', `operator ${node.name} has its own code`);
    return operator.create();
  }
}
