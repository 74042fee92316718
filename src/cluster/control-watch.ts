/**
 * The job master's side of the control object: looks at it at an interval and does what is asked.
 *
 * Cost: one head request each time, and a get when it has changed. A store that does not answer is asked again the next time.
 */
import { asError, isMillraceError } from '../base/errors.ts';
import type { Timer, World } from '../base/world.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import {
  changeControl,
  controlKeyOf,
  type ControlRequest,
  decodeControl,
  type JobOperation,
  withState,
} from './job-control.ts';
import type { JobOperations } from './job-operations.ts';

export interface ControlWatchParams {
  readonly world: World;
  readonly store: ObjectStore;
  readonly jobId: string;
  readonly generation: number;
  readonly pollMs: number;
  readonly operations: JobOperations;
}

export function watchControl(params: ControlWatchParams): ControlWatch {
  const watch = new ControlWatch(params);
  watch.start();
  return watch;
}

class ControlWatch {
  readonly #params: ControlWatchParams;
  #timer: Timer | undefined;
  #seen: string | undefined;
  #looking: Promise<void> = Promise.resolve();
  readonly #serving = new Set<Promise<void>>();
  #closed = false;

  constructor(params: ControlWatchParams) {
    this.#params = params;
  }

  start(): void {
    const { world, pollMs } = this.#params;
    this.#timer = world.timers.after(pollMs, () => {
      this.#looking = this.#look().then(() => {
        if (!this.#closed) this.start();
      });
    });
  }

  /** What has been accepted is answered first. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    await this.#looking;
    await Promise.all(this.#serving);
  }

  async #look(): Promise<void> {
    const { store, jobId, world, generation } = this.#params;
    const key = controlKeyOf(jobId);
    try {
      const meta = await store.head(key);
      if (meta === undefined || meta.etag === this.#seen) return;
      const { requests } = decodeControl(await store.get(key), key);
      for (const request of requests)
        if (request.state === 'waiting' && request.generation === generation)
          await this.#accept(request);
      this.#seen = meta.etag;
    } catch (error) {
      world.logger.log('warn', `requests in ${key} cannot be read: ${asError(error).message}`);
    }
  }

  async #accept({ id, operation }: ControlRequest): Promise<void> {
    const { store, jobId, world } = this.#params;
    const control = await changeControl(store, jobId, (before) =>
      withState(before, id, { state: 'accepted' }),
    );
    // It may have been withdrawn meanwhile.
    if (this.#closed || !control.requests.some((request) => request.id === id)) return;
    world.logger.log('info', `asked to ${describe(operation)}`);
    const serving = this.#serve(id, operation);
    this.#serving.add(serving);
    void serving.finally(() => this.#serving.delete(serving));
  }

  async #serve(id: string, operation: JobOperation): Promise<void> {
    try {
      const location = await this.#do(operation);
      await this.#answer(id, { state: 'done', ...(location === undefined ? {} : { location }) });
    } catch (thrown) {
      const error = asError(thrown);
      const { kind, code } = isMillraceError(error)
        ? error
        : { kind: 'internal' as const, code: 'OPERATION_FAILED' };
      // Who was fenced answers nothing: somebody else has the job.
      if (kind !== 'fenced')
        await this.#answer(id, { state: 'failed', error: { kind, code, message: error.message } });
    }
  }

  async #do(operation: JobOperation): Promise<string | undefined> {
    const { operations } = this.#params;
    if (operation.type === 'savepoint') return operations.triggerSavepoint(operation);
    if (operation.type === 'stop') return operations.stopWithSavepoint(operation);
    operations.cancel();
    return undefined;
  }

  async #answer(id: string, state: Parameters<typeof withState>[2]): Promise<void> {
    const { store, jobId, world } = this.#params;
    try {
      await changeControl(store, jobId, (before) => withState(before, id, state));
    } catch (error) {
      world.logger.log('warn', `a request could not be answered: ${asError(error).message}`);
    }
  }
}

const describe = (operation: JobOperation): string =>
  operation.type === 'savepoint'
    ? 'take a savepoint'
    : operation.type === 'stop'
      ? `stop with a savepoint${operation.drain === true ? ' after draining' : ''}`
      : 'cancel';
