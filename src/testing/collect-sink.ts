/**
 * A sink that commits in two phases into memory, and remembers what was staged, committed, and by whom.
 *
 * The target stands for a system outside of the job: it outlives every process, and what reaches it takes effect at one instant.
 * With `link` every access takes time and may lose its answer.
 */
import { MillraceError } from '../base/errors.ts';
import type { Timers } from '../base/world.ts';
import type {
  Committable,
  Committer,
  Sink,
  SinkWriter,
  SinkWriterContext,
} from '../connector/sink.ts';
import type { RecordBatch } from '../types/record-batch.ts';
import type { SeededRandom } from './seeded-random.ts';

/** Records that became visible together. */
export interface CommittedPart<T> {
  readonly handle: string;
  readonly checkpointId: number;
  readonly subtaskIndex: number;
  readonly values: readonly T[];
}

interface Handle {
  readonly handle: string;
  readonly checkpointId: number;
  readonly subtaskIndex: number;
}

/** How a simulated job reaches the target. */
export interface TargetLink {
  readonly random: SeededRandom;
  readonly delayMostMs: number;
  /** An access has its effect, and the caller sees `unavailable`. */
  readonly lostAnswerProbability: number;
  /** Called before and after each access; false: the caller is dead. */
  step?(what: string): boolean;
}

export class CollectTarget<T> {
  readonly #staged = new Map<string, readonly T[]>();
  readonly #committed: CommittedPart<T>[] = [];
  readonly #handles = new Set<string>();
  /** How often something was committed again; idempotence makes it harmless. */
  repeatedCommits = 0;

  /** What readers see, in the order in which it became visible. */
  get committed(): readonly CommittedPart<T>[] {
    return this.#committed;
  }

  /** All visible records, in that order. */
  get values(): readonly T[] {
    return this.#committed.flatMap(({ values }) => values);
  }

  /** Staged and not committed (yet). */
  get stagedValues(): readonly T[] {
    return [...this.#staged.values()].flat();
  }

  /** Whether it was ever staged here. */
  knows(handle: string): boolean {
    return this.#staged.has(handle) || this.#handles.has(handle);
  }

  stage(handle: string, values: readonly T[]): void {
    this.#staged.set(handle, structuredClone(values));
  }

  commit(committable: Handle): void {
    const { handle } = committable;
    if (this.#handles.has(handle)) {
      this.repeatedCommits++;
      return;
    }
    const values = this.#staged.get(handle);
    if (values === undefined) {
      throw new MillraceError(
        'data',
        'STAGED_PART_MISSING',
        `nothing was staged under ${handle}: a committable was stored before its data was`,
        { details: { handle } },
      );
    }
    this.#staged.delete(handle);
    this.#handles.add(handle);
    this.#committed.push({ ...committable, values });
  }
}

export interface CollectSinkOptions {
  readonly link?: TargetLink;
}

/** Exactly once into `target`. */
export function collectSink<T>(
  target: CollectTarget<T>,
  { link }: CollectSinkOptions = {},
): Sink<T> {
  return {
    guarantee: 'exactly-once',
    createWriter: async (context) => new CollectWriter(target, link, context),
    createCommitter: async ({ timers }) => new CollectCommitter(target, link, timers),
  };
}

async function reach(
  link: TargetLink | undefined,
  timers: Timers,
  { what, effect }: { readonly what: string; readonly effect: () => void },
): Promise<void> {
  if (link === undefined) {
    effect();
    return;
  }
  const { random, delayMostMs, lostAnswerProbability } = link;
  if (link.step?.(`before ${what}`) === false) return new Promise(() => {});
  const travel = (): Promise<void> =>
    new Promise((resolve) => void timers.after(random.float(0, delayMostMs), resolve));
  await travel();
  effect();
  if (link.step?.(`after ${what}`) === false) return new Promise(() => {});
  const lost = random.chance(lostAnswerProbability);
  await travel();
  if (lost) throw new MillraceError('unavailable', 'TARGET_UNAVAILABLE', 'the answer was lost');
}

class CollectWriter<T> implements SinkWriter<T> {
  readonly #target: CollectTarget<T>;
  readonly #link: TargetLink | undefined;
  readonly #context: SinkWriterContext;
  #values: T[] = [];
  #staged: string[] = [];
  #count = 0;

  constructor(target: CollectTarget<T>, link: TargetLink | undefined, context: SinkWriterContext) {
    this.#target = target;
    this.#link = link;
    this.#context = context;
  }

  write({ values }: RecordBatch<T>): void {
    for (const value of values) this.#values.push(value);
  }

  async flush(): Promise<void> {
    if (this.#values.length === 0) return;
    const values = this.#values;
    const handle = `${this.#context.attemptId}/${this.#count++}`;
    this.#values = [];
    this.#staged.push(handle);
    await reach(this.#link, this.#context.timers, {
      what: 'stage',
      effect: () => this.#target.stage(handle, values),
    });
  }

  async prepareCommit(checkpointId: number): Promise<readonly Committable[]> {
    const { subtaskIndex } = this.#context;
    const staged = this.#staged;
    this.#staged = [];
    return staged.map((handle) => ({ handle, checkpointId, subtaskIndex }));
  }

  async close(): Promise<void> {}
}

class CollectCommitter<T> implements Committer {
  readonly #target: CollectTarget<T>;
  readonly #link: TargetLink | undefined;
  readonly #timers: Timers;

  constructor(target: CollectTarget<T>, link: TargetLink | undefined, timers: Timers) {
    this.#target = target;
    this.#link = link;
    this.#timers = timers;
  }

  async commit(committables: readonly Committable[]): Promise<void> {
    for (const committable of committables) {
      const handle = committable as unknown as Handle; // made by CollectWriter
      await reach(this.#link, this.#timers, {
        what: 'commit',
        effect: () => this.#target.commit(handle),
      });
    }
  }

  async close(): Promise<void> {}
}
