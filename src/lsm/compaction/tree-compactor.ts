/**
 * Keeps one tree compacted: picks a job, runs it, adopts the result, until nothing is left to do. One job at a time.
 *
 * A job that fails leaves garbage and nothing else; it is tried again when the tree has changed.
 */
import type { Heat } from '../cache/hot-outputs.ts';
import type { LsmTree } from '../lsm-tree.ts';
import type { TableMeta } from '../table-meta.ts';
import type { TreeVersion } from '../tree-version.ts';
import {
  type CompactionJob,
  type CompactionOptions,
  pickCompaction,
  stallOf,
} from './pick-compaction.ts';
import type { OutputWritten } from './run-compaction.ts';

export interface TreeCompactorParams {
  readonly tree: LsmTree;
  readonly options: CompactionOptions;
  readonly nowMs: () => number;
  /** `written` is told of every output, where its bytes are at hand. */
  readonly run: (
    job: CompactionJob,
    signal: AbortSignal,
    written: OutputWritten,
  ) => Promise<readonly TableMeta[]>;
  readonly failed: (error: unknown) => void;
}

export class TreeCompactor {
  readonly #params: TreeCompactorParams;
  readonly #abort = new AbortController();
  #running: Promise<void> | undefined;
  /** The version that the last failure left. */
  #failedAt: TreeVersion | undefined;
  bytesRead = 0;
  bytesWritten = 0;
  jobs = 0;
  failures = 0;

  constructor(params: TreeCompactorParams) {
    this.#params = params;
  }

  /** Whether writers have to wait. */
  get stalled(): boolean {
    return stallOf(this.#params.tree.version, this.#params.options) === 'stop';
  }

  /** Settles when the work that is under way is done; undefined if there is none. */
  get running(): Promise<void> | undefined {
    return this.#running;
  }

  /** Starts a job if there is one and none is running. Cheap. */
  start(): void {
    const { tree } = this.#params;
    if (this.#running !== undefined || tree.version === this.#failedAt) return;
    const job = this.#pick();
    if (job === undefined) return;
    this.#running = this.#work(job)
      .catch((error: unknown) => {
        this.#failedAt = tree.version;
        this.failures++;
        if (!this.#abort.signal.aborted) this.#params.failed(error);
      })
      .finally(() => {
        this.#running = undefined;
      });
  }

  close(): void {
    this.#abort.abort();
  }

  #pick(): CompactionJob | undefined {
    const { tree, options, nowMs } = this.#params;
    return pickCompaction(tree.version, options, nowMs());
  }

  async #work(first: CompactionJob): Promise<void> {
    const { signal } = this.#abort;
    for (let job: CompactionJob | undefined = first; job !== undefined; job = this.#pick()) {
      await this.#do(job, signal);
      if (signal.aborted) return;
    }
  }

  async #do(job: CompactionJob, signal: AbortSignal): Promise<void> {
    const { tree, run } = this.#params;
    const tables = job.inputs.flatMap((run) => run.tables);
    const removed = new Set(tables.map(({ id }) => id));
    this.jobs++;
    if (job.kind !== 'merge') {
      tree.adopt({ removed, added: job.kind === 'move' ? tables : [], level: job.level });
      return;
    }
    let heat: Promise<Heat> | undefined;
    const added = await run(job, signal, async (meta, bytes) => {
      heat ??= tree.heatOf(removed);
      const known = await heat;
      return signal.aborted ? false : tree.prepare(meta, bytes, known);
    });
    // The tree may have been closed meanwhile: then the result is garbage.
    if (signal.aborted) return;
    this.bytesRead += tables.reduce((sum, { length }) => sum + length, 0);
    this.bytesWritten += added.reduce((sum, { length }) => sum + length, 0);
    tree.adopt({ removed, added, level: job.level });
  }
}
