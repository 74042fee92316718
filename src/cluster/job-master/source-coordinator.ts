/**
 * The enumerator of one source, and what it has told the source's subtasks. Lives as long as one deployment of the source's region: after a
 * failure another is made from the enumerator's state in the restored checkpoint, and what this one assigned since then is assigned anew.
 *
 * Invariants
 *  S1  Enumerators are foreign code: whatever one throws is handed to `fail`, and nothing of it is heard after `close`.
 *  S2  The enumerator starts when every subtask has reported: each assignment finds its reader.
 */
import { asError } from '../../base/errors.ts';
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
  /** Called in a later turn than the call that failed. */
  fail(error: Error): void;
}

export class SourceCoordinator implements EnumeratorContext {
  readonly parallelism: number;
  readonly clock;
  readonly timers;
  readonly logger;
  readonly #params: SourceCoordinatorParams;
  readonly #enumerator: SplitEnumerator | undefined;
  readonly #reported = new Set<number>();
  #closed = false;

  constructor(params: SourceCoordinatorParams) {
    this.#params = params;
    this.parallelism = params.parallelism;
    this.clock = params.world.clock;
    this.timers = params.world.timers;
    this.logger = params.world.logger;
    this.#enumerator = this.#try(() => params.source.createEnumerator(this, params.restored));
  }

  /** A subtask is ready, or has nothing left to read. */
  onRequest(subtaskIndex: number): void {
    const isStarted = this.#reported.size === this.parallelism;
    this.#reported.add(subtaskIndex);
    if (isStarted) this.#try(() => this.#enumerator?.requestSplit(subtaskIndex));
    else if (this.#reported.size === this.parallelism) this.#start();
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
    this.timers.soon(() => {
      if (!this.#closed) this.#params.fail(error);
    });
  }

  /** @throws what the enumerator throws */
  snapshot(): JsonValue | undefined {
    return this.#enumerator?.snapshot();
  }

  /** Never rejects. */
  async close(): Promise<void> {
    this.#closed = true;
    try {
      await this.#enumerator?.close();
    } catch (error) {
      this.logger.log('warn', `an enumerator did not close cleanly: ${asError(error).message}`);
    }
  }

  #start(): void {
    this.#try(() => {
      this.#enumerator?.start().catch((error: unknown) => this.fail(asError(error)));
    });
  }

  /** S1 */
  #try<T>(call: () => T): T | undefined {
    try {
      return call();
    } catch (error) {
      this.fail(asError(error));
      return undefined;
    }
  }
}
