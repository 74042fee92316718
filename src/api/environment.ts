/** Where a program begins: sources, options, and `execute`. */
import type { JsonValue } from '../base/json.ts';
import { type Duration, durationMs } from '../base/duration.ts';
import { invalid } from '../base/errors.ts';
import { collectionSource, rangeSource } from '../connector/collection-source.ts';
import type { Source } from '../connector/source.ts';
import type { WatermarkStrategy } from '../connector/watermark-strategy.ts';
import { buildJobGraph } from '../graph/build-job-graph.ts';
import { explainJson, explainText } from '../graph/explain.ts';
import type { Program } from '../graph/program.ts';
import type { Schema } from '../types/schema.ts';
import { t } from '../types/t.ts';
import { boundedNow } from './bounded-now.ts';
import { SingleOutputStreamOperator } from './data-stream.ts';
import type { Executor, JobResult } from './executor.ts';
import type { JobClient } from './job-client.ts';
import { checkParallelism, GraphBuilder } from './graph-builder.ts';
import { type RestartStrategy, restartOptions } from './restart-strategy.ts';

/** Options by Flink's keys, such as `{ 'parallelism.default': 4, 'execution.checkpointing.interval': '10 s' }`. */
export type Configuration = Readonly<Record<string, JsonValue>>;

export class StreamExecutionEnvironment {
  readonly #executor: Executor;
  readonly #config: Record<string, JsonValue>;
  #builder = new GraphBuilder(this);
  #chaining = true;

  constructor(executor: Executor, config: Configuration = {}) {
    this.#executor = executor;
    this.#config = { ...config };
    executor.validateConfig(config);
  }

  /** Reads a source. The strategy gives records event time and splits their watermarks. */
  fromSource<T>(
    source: Source<T>,
    strategy: WatermarkStrategy<T>,
    name = 'source',
  ): SingleOutputStreamOperator<T> {
    const node = this.#builder.add({
      kind: 'source',
      type: 'source',
      name,
      code: { source, watermarkStrategy: strategy },
      inputs: [],
      schema: source.schema,
      description: { boundedness: source.boundedness },
      ...(strategy.createGenerator === undefined ? {} : { eventTime: 'assigns' }),
      ...(source.replayable === false ? { delivery: 'at-most-once' } : {}),
      ...(source.replayable === 'by-sender' ? { delivery: 'at-least-once' } : {}),
    });
    return new SingleOutputStreamOperator<T>(this.#builder, node);
  }

  /** The given values, in order, in one subtask. */
  fromElements<T>(...values: readonly T[]): SingleOutputStreamOperator<T> {
    return this.fromCollection(values);
  }

  /** The values of an array, in order, in one subtask. */
  fromCollection<T>(values: readonly T[], schema?: Schema<T>): SingleOutputStreamOperator<T> {
    return this.fromSource(collectionSource(values, schema), {}, 'collection').setParallelism(1);
  }

  /** The integers `from` to `to`, both included, in as many splits as there are subtasks. */
  fromSequence(from: number, to: number): SingleOutputStreamOperator<number> {
    const splits = Number(this.#settled()['parallelism.default']);
    return this.fromSource(
      rangeSource({
        count: to - from + 1,
        valueAt: (index) => from + index,
        schema: t.int64(),
        splits,
      }),
      {},
      'sequence',
    );
  }

  setParallelism(parallelism: number): this {
    this.#config['parallelism.default'] = checkParallelism(parallelism);
    return this;
  }

  setMaxParallelism(maxParallelism: number): this {
    this.#config['pipeline.max-parallelism'] = checkParallelism(maxParallelism);
    return this;
  }

  enableCheckpointing(
    interval: Duration,
    mode: 'exactly-once' | 'at-least-once' = 'exactly-once',
  ): this {
    this.#config['execution.checkpointing.interval'] = durationMs(interval);
    this.#config['execution.checkpointing.mode'] = mode;
    return this;
  }

  /** What happens after a failure. Default: exponential-delay with checkpoints, none without. */
  setRestartStrategy(strategy: RestartStrategy): this {
    Object.assign(this.#config, restartOptions(strategy));
    return this;
  }

  /**
   * The job processes what its sources have when it starts, takes a checkpoint, commits and ends with 'stopped'; the next run goes on from there.
   * Needs `execution.checkpointing.dir`.
   */
  runUntil(until: 'now'): this {
    this.#config['execution.until'] = until;
    return this;
  }

  /** Every operator runs in a task of its own. */
  disableOperatorChaining(): this {
    this.#chaining = false;
    return this;
  }

  /** Sets one option by its key. */
  configure(key: string, value: JsonValue): this {
    this.#config[key] = value;
    return this;
  }

  /** The plan as text, or as data with `'json'`: operators, partitioning, schemas, what is promised, warnings. Runs nothing. */
  explain(format: 'text'): string;
  explain(format: 'json'): JsonValue;
  explain(): string;
  explain(format: 'text' | 'json' = 'text'): JsonValue {
    const program = this.toProgram('job');
    return format === 'text' ? explainText(program) : explainJson(program);
  }

  /**
   * Runs the job and settles when it has ended: never, for unbounded input. The name is the job's identity: with a checkpoint
   * folder, running the same program under the same name goes on where the last run stopped.
   */
  async execute(name: string): Promise<JobResult> {
    return this.#executor.execute(this.#handOver(name));
  }

  /** Runs the job and settles as soon as it runs, with what can be asked of it. The name is as for `execute`. */
  async executeAsync(name: string): Promise<JobClient> {
    return this.#executor.start(this.#handOver(name));
  }

  #handOver(name: string): Program {
    const program = this.toProgram(name);
    this.#builder.closeAs(name);
    this.#builder = new GraphBuilder(this);
    return program;
  }

  /** @internal What has been built so far. @throws `invalid` when it cannot run */
  toProgram(name: string): Program {
    if (this.#builder.isEmpty)
      throw invalid('GRAPH_INVALID', `job "${name}" has no operators; begin with env.fromSource`);
    const config = this.#settled();
    const built = this.#builder.build(
      name,
      {
        parallelism: Number(config['parallelism.default']),
        maxParallelism: Number(config['pipeline.max-parallelism']),
        chaining: this.#chaining,
      },
      config,
    );
    const program = boundedNow(built);
    buildJobGraph(program.graph);
    return program;
  }

  #settled(): Configuration {
    return this.#executor.validateConfig(this.#config);
  }
}
