/** Compaction behind a link: a thread that runs tasks, one after the other, and its two ends. */
import {
  asError,
  MillraceError,
  toWireError,
  fromWireError,
  type WireError,
} from '../../base/errors.ts';
import { type TableMetaJson, tableMetaFromJson, tableMetaToJson } from '../table-meta.ts';
import type { MessageLink } from '../../base/world.ts';
import type { ObjectStore } from '../../storage/object-store.ts';
import {
  checkTask,
  type CompactionExecutor,
  type CompactionResult,
  type CompactionTask,
  type PrefixLengths,
  runTask,
} from './compaction-task.ts';
import type { OutputWritten } from './run-compaction.ts';

interface Request {
  readonly id: number;
  readonly task: CompactionTask;
}

interface Response {
  readonly id: number;
  /** One file of the result; more is to come. */
  readonly written?: { readonly table: TableMetaJson; readonly bytes: Uint8Array };
  readonly result?: CompactionResult;
  readonly error?: WireError;
}

interface Waiting extends PromiseWithResolvers<CompactionResult> {
  readonly written: OutputWritten | undefined;
  /** Settles when all that was written so far has been taken. */
  taken: Promise<void>;
}

/** The end that asks. */
export class LinkedCompaction implements CompactionExecutor {
  readonly #link: MessageLink;
  readonly #closed: () => Promise<void>;
  readonly #waiting = new Map<number, Waiting>();
  #requests = 0;
  #gone = false;

  /** `closed` stops the thread. */
  constructor(link: MessageLink, closed: () => Promise<void>) {
    this.#link = link;
    this.#closed = closed;
    link.onMessage((message) => this.#receive(message as Response)); // the other end sends nothing else
    link.onClose(() => this.#lose());
  }

  async run(
    task: CompactionTask,
    signal: AbortSignal,
    written?: OutputWritten,
  ): Promise<CompactionResult> {
    if (this.#gone) throw lost();
    const id = this.#requests++;
    const waiting = {
      ...Promise.withResolvers<CompactionResult>(),
      written,
      taken: Promise.resolve(),
    };
    this.#waiting.set(id, waiting);
    const abort = (): void => waiting.reject(asError(signal.reason));
    signal.addEventListener('abort', abort);
    this.#link.post({ id, task } satisfies Request);
    try {
      return await waiting.promise;
    } finally {
      signal.removeEventListener('abort', abort);
      this.#waiting.delete(id);
    }
  }

  close(): Promise<void> {
    this.#lose();
    return this.#closed();
  }

  #receive({ id, written, result, error }: Response): void {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return;
    if (written !== undefined) {
      waiting.taken = waiting.taken.then(() => take(written, waiting.written));
      waiting.taken.catch(waiting.reject);
    } else if (result !== undefined)
      waiting.taken.then(() => waiting.resolve(result), waiting.reject);
    else waiting.reject(error === undefined ? lost() : fromWireError(error));
  }

  #lose(): void {
    this.#gone = true;
    for (const waiting of this.#waiting.values()) waiting.reject(lost());
  }
}

async function take(
  { table, bytes }: Required<Response>['written'],
  written: OutputWritten | undefined,
): Promise<void> {
  if ((await written?.(tableMetaFromJson(table), bytes)) === true) return;
  // Files of many megabytes come faster than garbage is collected.
  (bytes.buffer as ArrayBuffer).transfer(0); // it was transferred here, and nobody else has it
}

const lost = (): MillraceError =>
  new MillraceError('unavailable', 'COMPACTION_THREAD_LOST', 'the compaction thread has ended');

/** The end that works. */
export function serveCompaction(
  link: MessageLink,
  params: {
    readonly store: ObjectStore;
    readonly prefixLengths: PrefixLengths;
    readonly yieldToLoop: () => Promise<void>;
  },
): void {
  let last: Promise<void> = Promise.resolve();
  const work = async ({ id, task }: Request): Promise<void> => {
    try {
      const written: OutputWritten = async (meta, bytes) => {
        link.post(
          { id, written: { table: tableMetaToJson(meta), bytes } } satisfies Response,
          [bytes.buffer as ArrayBuffer], // a table writer's own; nobody here reads it any more
        );
        return true;
      };
      const result = await runTask(checkTask(task, 'a task'), { ...params, suffix: '', written });
      link.post({ id, result } satisfies Response);
    } catch (error) {
      link.post({ id, error: toWireError(error) } satisfies Response);
    }
  };
  link.onMessage((message) => {
    last = last.then(() => work(message as Request)); // LinkedCompaction sends nothing else
  });
}
