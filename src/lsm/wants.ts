/** What a lookup of many keys needs before it can go on, and what has come of it: kept until the lookup ends, whatever caches do meanwhile. */
import type { ObjectStore } from '../storage/object-store.ts';
import type { BlockAddress, BlockRead, BlockSource } from './block-source.ts';
import type { OpenTable } from './open-table.ts';
import type { TableParts } from './table-format.ts';

/** File number and block number as one number. */
const blockKey = (fileNo: number, block: number): number => fileNo * 2 ** 22 + block;

export class Wants {
  readonly #tables = new Set<OpenTable>();
  readonly #opened = new Map<OpenTable, TableParts>();
  readonly #blocks = new Map<number, BlockRead>();
  readonly #arrived = new Map<number, Uint8Array>();

  partsOf(table: OpenTable): TableParts | undefined {
    return this.#opened.get(table);
  }

  /** @hot */
  blockOf(table: OpenTable, block: number): Uint8Array | undefined {
    return this.#arrived.size === 0 ? undefined : this.#arrived.get(blockKey(table.fileNo, block));
  }

  noteTable(table: OpenTable): void {
    this.#tables.add(table);
  }

  noteBlock(file: OpenTable, block: BlockAddress): void {
    this.#blocks.set(blockKey(file.fileNo, block.index), { file, block });
  }

  /** Fetches what was noted. */
  async supply(store: ObjectStore, source: BlockSource, signal?: AbortSignal): Promise<void> {
    const tables = [...this.#tables];
    const reads = [...this.#blocks.entries()].filter(([id]) => !this.#arrived.has(id));
    this.#tables.clear();
    this.#blocks.clear();
    const options = signal === undefined ? { fill: true } : { fill: true, signal };
    const [contents] = await Promise.all([
      reads.length === 0
        ? []
        : source.read(
            reads.map(([, read]) => read),
            options,
          ),
      ...tables.map(async (table) => {
        this.#opened.set(table, await table.open(store, signal));
      }),
    ]);
    for (const [i, [id]] of reads.entries()) this.#arrived.set(id, contents[i]!);
  }
}
