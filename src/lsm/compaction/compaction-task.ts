/**
 * A compaction as plain data, so that it can run where the tree is not: on another thread, in another process. JSON, version 1.
 *
 * Whoever runs one reads the inputs and writes new files under names that start with `output`; it knows no manifest and deletes nothing.
 * The result is metadata. Only the tree's owner adopts it, if the inputs are still its own; a result that nobody adopts is garbage,
 * and its names say whose.
 */
import { MillraceError } from '../../base/errors.ts';
import type { ObjectStore } from '../../storage/object-store.ts';
import { CachingBlockSource } from '../cache/caching-block-source.ts';
import { createObject, type TableFiles } from '../table-files.ts';
import { type TableMetaJson, tableMetaToJson } from '../table-meta.ts';
import type { Compression, TableOptions } from '../table-writer.ts';
import { type TreeVersionJson, versionFromJson } from '../tree-version.ts';
import type { CompactionJob } from './pick-compaction.ts';
import { type OutputWritten, runCompaction } from './run-compaction.ts';

const TASK_VERSION = 1;

export interface CompactionTask {
  readonly version: typeof TASK_VERSION;
  /** Newest run first. */
  readonly inputs: TreeVersionJson;
  readonly level: number;
  readonly bottom: boolean;
  readonly reason: string;
  readonly blockBytes: number;
  readonly compression: Compression;
  /** Name of the tree's `prefixLength`; see `PrefixLengths`. */
  readonly prefixes: string;
  readonly fileBytes: number;
  readonly nowMs: number;
  /** Output files are objects whose keys begin with this. */
  readonly output: string;
}

export interface CompactionResult {
  readonly tables: readonly TableMetaJson[];
}

/** Where prefixes end, by the name of the key layout. */
export type PrefixLengths = Readonly<Record<string, TableOptions['prefixLength']>>;

/** Runs compactions somewhere. @throws `unavailable` when it cannot, or the signal's reason */
export interface CompactionExecutor {
  /** `written` is told of every output, where its bytes come this way at all. */
  run(
    task: CompactionTask,
    signal: AbortSignal,
    written?: OutputWritten,
  ): Promise<CompactionResult>;
  close(): Promise<void>;
}

export function taskOf(
  job: CompactionJob,
  params: Omit<CompactionTask, 'version' | 'inputs' | 'level' | 'bottom' | 'reason'>,
): CompactionTask {
  return {
    version: TASK_VERSION,
    inputs: job.inputs.map(({ level, tables }) => ({ level, tables: tables.map(tableMetaToJson) })),
    level: job.level,
    bottom: job.bottom,
    reason: job.reason,
    ...params,
  };
}

/** @throws `data` COMPACTION_TASK_VERSION for tasks of another release */
export function checkTask(value: unknown, place: string): CompactionTask {
  const task = value as Partial<CompactionTask> | null; // looked at below
  if (
    task?.version === TASK_VERSION &&
    Array.isArray(task.inputs) &&
    typeof task.output === 'string'
  )
    return task as CompactionTask;
  throw new MillraceError(
    'data',
    'COMPACTION_TASK_VERSION',
    `${place} is no compaction task of this release (version ${TASK_VERSION}); run a compactor of the release that runs the job`,
    { details: { place } },
  );
}

/**
 * A result from elsewhere, before it is adopted: its files are the task's own, and its tables are in order.
 * @throws `data` COMPACTION_RESULT_BROKEN
 */
export function checkResult(value: unknown, task: CompactionTask): CompactionResult {
  const tables = (value as Partial<CompactionResult> | null)?.tables; // looked at below
  const own = (table: TableMetaJson): boolean =>
    typeof table.object === 'string' &&
    table.object.startsWith(task.output) &&
    typeof table.smallest === 'string' &&
    typeof table.largest === 'string' &&
    Number.isSafeInteger(table.length) &&
    Number.isSafeInteger(table.metaOffset);
  try {
    if (Array.isArray(tables) && tables.every(own)) {
      versionFromJson([{ level: 0, tables }]);
      return { tables };
    }
  } catch {
    // Tables that overlap: the same verdict.
  }
  throw new MillraceError(
    'data',
    'COMPACTION_RESULT_BROKEN',
    `the result of compaction ${task.output} is not what the task asked for; it was not adopted`,
    { details: { output: task.output } },
  );
}

/** Blocks in memory at a time: what read-ahead needs. */
const CACHE_BYTES = 32 * 1024 * 1024;

/** Runs a task against its store. `suffix` makes the names of this try unique. */
export async function runTask(
  task: CompactionTask,
  params: {
    readonly store: ObjectStore;
    readonly prefixLengths: PrefixLengths;
    readonly suffix: string;
    readonly yieldToLoop: () => Promise<void>;
    readonly signal?: AbortSignal;
    readonly written?: OutputWritten;
  },
): Promise<CompactionResult> {
  const { store, prefixLengths, suffix, yieldToLoop, signal, written } = params;
  const prefixLength = prefixLengths[task.prefixes];
  if (prefixLength === undefined)
    throw new MillraceError(
      'data',
      'COMPACTION_TASK_VERSION',
      `a compaction task has keys of a layout "${task.prefixes}" that this release does not know`,
    );
  const blocks = new CachingBlockSource({ store, memoryBytes: CACHE_BYTES });
  const { blockBytes, compression, fileBytes, nowMs, level, bottom, reason } = task;
  const inputs = task.inputs.map((run) => versionFromJson([run]).runs[0]!);
  const outputs = await runCompaction(
    { kind: 'merge', reason, inputs, level, bottom },
    {
      store,
      blocks,
      files: numberedFiles(store, `${task.output}${suffix}`),
      table: { blockBytes, compression, prefixLength },
      fileBytes,
      nowMs,
      yieldToLoop,
      ...(signal === undefined ? {} : { signal }),
      ...(written === undefined ? {} : { written }),
    },
  );
  return { tables: outputs.map(tableMetaToJson) };
}

function numberedFiles(store: ObjectStore, prefix: string): TableFiles {
  let files = 0;
  return {
    async write(bytes) {
      const object = `${prefix}-${files++}`;
      await createObject(store, object, bytes);
      return { id: object.slice(object.lastIndexOf('/') + 1), object, offset: 0 };
    },
  };
}
