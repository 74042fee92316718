/**
 * Runs a whole pipeline in a test: the real engine, workers included, on a virtual clock in the test's own thread.
 *
 * Nothing happens between two calls: time stands still until the test lets it pass. The same seed gives the same run.
 */
import type { StreamExecutionEnvironment } from '../api/environment.ts';
import { internal, invalid } from '../base/errors.ts';
import { type Duration, durationMs } from '../base/duration.ts';
import type { JsonValue } from '../base/json.ts';
import { CheckpointAudit } from './checkpoint-audit.ts';
import type { Violation } from './checkers.ts';
import { SimJob } from './sim-job.ts';
import { SimBucket } from './sim-store.ts';
import { Simulation } from './simulation.ts';
import { type TestInput, WATERMARK_INTERVAL_MS } from './test-source.ts';

export interface PipelineHarnessOptions {
  /** Builds the pipeline, from test sources to collect sinks. Runs once in each simulated process. */
  build(env: StreamExecutionEnvironment): void;
  /** The sources that `build` attaches. */
  readonly sources: readonly TestInput[];
  /** Default 1. */
  readonly parallelism?: number;
  /** Default 2. */
  readonly workersMax?: number;
  /** Options by Flink's keys. By default there are no periodic checkpoints, and a failure ends the pipeline. */
  readonly config?: Readonly<Record<string, JsonValue>>;
  /** Decides delays and interleavings. Default 1. */
  readonly seed?: number;
}

const STEP_MS = WATERMARK_INTERVAL_MS + 10;
/** What a test waits for takes at most this much virtual time. */
const PATIENCE_MS = 600_000;

/** Test sources count on it. */
const WATERMARK_OPTION = 'pipeline.auto-watermark-interval';

const DEFAULTS: Readonly<Record<string, JsonValue>> = {
  'execution.buffer-timeout.interval': 1,
  'restart-strategy.type': 'none',
};

export class PipelineHarness {
  /** The simulated world: its clock, its network, its seed. */
  readonly simulation: Simulation;
  readonly #options: PipelineHarnessOptions;
  readonly #bucket: SimBucket;
  readonly #audit: CheckpointAudit;
  readonly #job: SimJob;
  #parallelism: number;

  private constructor(options: PipelineHarnessOptions) {
    if (options.config !== undefined && WATERMARK_OPTION in options.config)
      throw invalid(
        'HARNESS_OPTION',
        `${WATERMARK_OPTION} is ${WATERMARK_INTERVAL_MS} ms in the harness; leave it out`,
      );
    this.#options = options;
    this.#parallelism = options.parallelism ?? 1;
    this.simulation = new Simulation({ seed: options.seed ?? 1 });
    this.#bucket = new SimBucket(this.simulation.scheduler);
    this.#audit = new CheckpointAudit(this.#bucket);
    this.#job = new SimJob({
      simulation: this.simulation,
      bucket: this.#bucket,
      name: 'pipeline',
      build: (env) => options.build(env),
      restarts: false,
      configOf: () => ({
        ...DEFAULTS,
        ...options.config,
        [WATERMARK_OPTION]: WATERMARK_INTERVAL_MS,
        'parallelism.default': this.#parallelism,
      }),
      ...(options.workersMax === undefined ? {} : { workersMax: options.workersMax }),
    });
  }

  /** Starts the pipeline and settles when it is ready for records. @throws what keeps it from starting */
  static async start(options: PipelineHarnessOptions): Promise<PipelineHarness> {
    const harness = new PipelineHarness(options);
    await harness.#start();
    return harness;
  }

  /** Epoch milliseconds of virtual time, as processing time sees it. */
  get nowMs(): number {
    return this.#job.process?.clock.wallMs() ?? Number.NaN;
  }

  /** How many checkpoints were completed so far. */
  get checkpoints(): number {
    return this.#audit.completed;
  }

  /** Broken promises of the engine itself, such as a checkpoint that lost an object; empty unless there is a bug. */
  get violations(): readonly Violation[] {
    return this.#audit.violations;
  }

  /** Lets everything that was pushed be processed, and nothing more happen than that takes. */
  async settle(): Promise<void> {
    await this.#until('what was pushed to be read', () =>
      this.#options.sources.every(({ isDrained }) => isDrained),
    );
    await this.#run(STEP_MS);
  }

  /** Settles, then lets virtual time pass: processing-time timers fire. */
  async advanceTime(by: Duration): Promise<void> {
    await this.settle();
    await this.#run(durationMs(by));
  }

  /** Settles, then takes a checkpoint and waits until its results are committed. */
  async checkpoint(): Promise<void> {
    await this.settle();
    const before = this.checkpoints;
    await this.#until('a checkpoint to complete', () => {
      if (this.checkpoints > before) return true;
      this.#job.master?.triggerCheckpoint();
      return false;
    });
    await this.#run(STEP_MS);
  }

  /** Kills the whole pipeline at once, as losing the machine does, and starts it from the last completed checkpoint. */
  async crash(): Promise<void> {
    this.#job.process?.node.crash();
    await this.#start();
  }

  /** Takes a checkpoint, stops, and starts again with another parallelism. */
  async rescale(parallelism: number): Promise<void> {
    await this.checkpoint();
    this.#parallelism = parallelism;
    await this.crash();
  }

  /** Ends all sources and waits for the pipeline to finish: event time runs to its end, everything is committed. */
  async finish(): Promise<void> {
    for (const source of this.#options.sources) source.end();
    await this.#until('the pipeline to finish', () => this.#job.end !== undefined);
  }

  /** Stops it, if it still runs. */
  async close(): Promise<void> {
    this.#job.process?.node.crash();
  }

  async #start(): Promise<void> {
    if (this.#job.end !== undefined)
      throw invalid('PIPELINE_FINISHED', 'the pipeline has finished; start another harness');
    for (const source of this.#options.sources) source.forgetReaders();
    this.#job.start();
    await this.settle();
  }

  async #until(what: string, isTrue: () => boolean): Promise<void> {
    const deadlineMs = this.simulation.nowMs + PATIENCE_MS;
    while (!isTrue()) {
      if (this.simulation.nowMs >= deadlineMs)
        throw internal('PIPELINE_STUCK', `waited ${PATIENCE_MS} virtual ms for ${what}`);
      await this.#run(STEP_MS);
    }
  }

  /** @throws why the pipeline failed */
  async #run(ms: number): Promise<void> {
    await this.simulation.run({ maxVirtualMs: ms });
    const { process, end, failures } = this.#job;
    if (process === undefined && end === undefined)
      throw (
        failures.at(-1) ?? invalid('PIPELINE_CLOSED', 'the pipeline was closed; start another one')
      );
  }
}
