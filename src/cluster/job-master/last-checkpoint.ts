/**
 * The checkpoint after which a job ends: it has ended well when everybody has committed it.
 *
 * While there is one no other is taken. It is void when a task fails before: what it made durable stays, and the job goes on from it.
 */
import { MillraceError } from '../../base/errors.ts';

interface Awaited {
  readonly checkpointId: number;
  readonly uncommitted: Set<string>;
  readonly committed: PromiseWithResolvers<void>;
}

export class LastCheckpoint {
  #awaited: Awaited | undefined;
  #committed: Promise<void> = Promise.resolve();

  get isTaken(): boolean {
    return this.#awaited !== undefined;
  }

  take(checkpointId: number, attemptIds: readonly string[]): void {
    const committed = Promise.withResolvers<void>();
    committed.promise.catch(() => {}); // whoever waits for it is told
    this.#committed = committed.promise;
    this.#awaited = { checkpointId, uncommitted: new Set(attemptIds), committed };
  }

  /** Of the one taken last: settles when everybody has committed it; rejects when it becomes void. */
  committed(): Promise<void> {
    return this.#committed;
  }

  onCommitted(checkpointId: number, attemptId: string): void {
    const awaited = this.#awaited;
    if (awaited?.checkpointId !== checkpointId || !awaited.uncommitted.delete(attemptId)) return;
    if (awaited.uncommitted.size === 0) awaited.committed.resolve();
  }

  /** The job goes on. */
  clear(): void {
    const awaited = this.#awaited;
    this.#awaited = undefined;
    awaited?.committed.reject(
      new MillraceError(
        'unavailable',
        'STOP_INTERRUPTED',
        `tasks failed before all of them had committed checkpoint ${awaited.checkpointId}; the job goes on from it`,
      ),
    );
  }
}
