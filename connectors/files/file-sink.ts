/**
 * Files of lines, exactly once.
 *
 * Records are gathered into a part; at a barrier, or when the part is full, it is staged under `.staging/<attempt>/`, invisible to readers
 * of the folder. The committable names the staged object and the final name. Committing copies it to the final name by
 * create-if-absent and removes the staged one: done twice it changes nothing.
 *
 * Final names are `part-<subtask>-<checkpoint>-<n>-<attempt>`: no two attempts share one.
 */
import { isMillraceError, MillraceError } from '../../src/base/errors.ts';
import { localFolder } from '../../src/storage/local-folder.ts';
import type { ObjectStore } from '../../src/storage/object-store.ts';
import type { LineFormat } from '../../src/connector/format.ts';
import type {
  Committable,
  Committer,
  Sink,
  SinkWriter,
  SinkWriterContext,
} from '../../src/connector/sink.ts';
import type { RecordBatch } from '../../src/types/record-batch.ts';

export interface FileSinkOptions<T> {
  /** A local folder; or pass `store`. */
  readonly path?: string;
  readonly store?: ObjectStore;
  readonly format: LineFormat<T>;
  /** A part is closed when it holds this many bytes. Default 64 MiB. */
  readonly partBytes?: number;
}

interface StagedPart {
  readonly staged: string;
  readonly name: string;
}

const PART_BYTES = 64 * 1024 * 1024;

/** @public */
export function fileSink<T>(options: FileSinkOptions<T>): Sink<T> {
  if ((options.path === undefined) === (options.store === undefined))
    throw new MillraceError(
      'invalid',
      'BAD_FILE_SINK',
      'a file sink writes either to a path or to a store',
    );
  const store = options.store ?? localFolder(options.path!);
  return {
    guarantee: 'exactly-once',
    createWriter: async (context) => new FileWriter(store, options, context),
    createCommitter: async () => new FileCommitter(store),
  };
}

class FileWriter<T> implements SinkWriter<T> {
  readonly #store: ObjectStore;
  readonly #format: LineFormat<T>;
  readonly #partBytes: number;
  readonly #context: SinkWriterContext;
  #lines: string[] = [];
  #bytes = 0;
  #parts = 0;
  /** Staged since the last barrier. */
  #staged: string[] = [];

  constructor(store: ObjectStore, options: FileSinkOptions<T>, context: SinkWriterContext) {
    this.#store = store;
    this.#format = options.format;
    this.#partBytes = options.partBytes ?? PART_BYTES;
    this.#context = context;
  }

  write({ values }: RecordBatch<T>): void | Promise<void> {
    for (const value of values) {
      const line = this.#format.encode(value);
      this.#lines.push(line);
      this.#bytes += line.length + 1;
    }
    if (this.#bytes >= this.#partBytes) return this.#stage();
  }

  async flush(): Promise<void> {
    await this.#stage();
  }

  async prepareCommit(checkpointId: number): Promise<readonly Committable[]> {
    const { subtaskIndex, attemptId } = this.#context;
    const staged = this.#staged;
    this.#staged = [];
    return staged.map((key, i) => ({
      staged: key,
      name: `part-${subtaskIndex}-${checkpointId}-${i}-${attemptId}`,
    }));
  }

  async close(): Promise<void> {}

  async #stage(): Promise<void> {
    if (this.#lines.length === 0) return;
    const bytes = Buffer.from(`${this.#lines.join('\n')}\n`);
    this.#lines = [];
    this.#bytes = 0;
    const key = `.staging/${this.#context.attemptId}/${this.#parts++}`;
    await this.#store.put(key, bytes);
    this.#staged.push(key);
  }
}

class FileCommitter implements Committer {
  readonly #store: ObjectStore;

  constructor(store: ObjectStore) {
    this.#store = store;
  }

  async commit(committables: readonly Committable[]): Promise<void> {
    for (const committable of committables)
      await this.#publish(committable as unknown as StagedPart); // made by FileWriter
  }

  async close(): Promise<void> {}

  async #publish({ staged, name }: StagedPart): Promise<void> {
    const bytes = await this.#read(staged);
    if (bytes === undefined) {
      // Committed before, and tidied up.
      if ((await this.#store.head(name)) !== undefined) return;
      throw new MillraceError(
        'data',
        'STAGED_PART_MISSING',
        `the staged part ${staged} is gone and ${name} does not exist: its records cannot be published`,
        { details: { staged, name } },
      );
    }
    await this.#store.putIfAbsent(name, bytes);
    await this.#store.delete(staged);
  }

  async #read(key: string): Promise<Uint8Array | undefined> {
    try {
      return await this.#store.get(key);
    } catch (error) {
      if (isMillraceError(error) && error.code === 'OBJECT_NOT_FOUND') return undefined;
      throw error;
    }
  }
}
