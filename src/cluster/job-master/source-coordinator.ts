/** The enumerator of one source and what it has told the source's subtasks. */
import type { JsonValue } from '../../base/json.ts';
import type { World } from '../../base/world.ts';
import type {
  EnumeratorContext,
  Source,
  SplitEnumerator,
  SplitState,
} from '../../connector/source.ts';

export interface SourceCoordinatorParams {
  readonly source: Source<unknown>;
  readonly parallelism: number;
  readonly world: World;
  /** Of the restored checkpoint. */
  readonly restored: JsonValue | undefined;
  send(
    subtaskIndex: number,
    message: { type: 'assign-splits'; splits: readonly SplitState[] } | { type: 'no-more-splits' },
  ): void;
  fail(error: Error): void;
}

/** Lives as long as one deployment of the source's region. */
export class SourceCoordinator implements EnumeratorContext {
  readonly parallelism: number;
  readonly clock;
  readonly timers;
  readonly logger;
  readonly #params: SourceCoordinatorParams;
  readonly #enumerator: SplitEnumerator;
  #registered = 0;
  #started = false;
  #closed = false;

  constructor(params: SourceCoordinatorParams) {
    this.#params = params;
    this.parallelism = params.parallelism;
    this.clock = params.world.clock;
    this.timers = params.world.timers;
    this.logger = params.world.logger;
    this.#enumerator = params.source.createEnumerator(this, params.restored);
  }

  /** A subtask is ready to read. The enumerator starts when all are: then every assignment finds its reader. */
  onRequest(subtaskIndex: number): void {
    if (this.#started) {
      this.#enumerator.requestSplit(subtaskIndex);
      return;
    }
    this.#registered++;
    if (this.#registered < this.parallelism) return;
    this.#started = true;
    this.#enumerator.start().catch((error: unknown) => this.fail(error as Error)); // enumerators reject with errors
  }

  assign(subtaskIndex: number, splits: readonly SplitState[]): void {
    if (!this.#closed) this.#params.send(subtaskIndex, { type: 'assign-splits', splits });
  }

  noMoreSplits(): void {
    if (this.#closed) return;
    for (let subtask = 0; subtask < this.parallelism; subtask++)
      this.#params.send(subtask, { type: 'no-more-splits' });
  }

  fail(error: Error): void {
    if (!this.#closed) this.#params.fail(error);
  }

  snapshot(): JsonValue {
    return this.#enumerator.snapshot();
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#enumerator.close();
  }
}
