/**
 * Blocks from memory, local disk and the object store, in this order. In memory, least recently used blocks go first.
 *
 * Blocks that follow each other in a file come in one request, up to REQUEST_BYTES_MAX; requests go in parallel, REQUESTS_MAX at a time.
 */
import { copyOf } from '../base/bytes.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type {
  BlockAddress,
  BlockRead,
  BlockSource,
  ReadOptions,
  StoredFile,
} from './block-source.ts';
import { openBlock } from './block-trailer.ts';
import type { DiskCache } from './disk-cache.ts';
import { missingOr } from './open-table.ts';

const REQUEST_BYTES_MAX = 1 << 20;
const REQUESTS_MAX = 32;
/** Of a Map entry and a view. */
const ENTRY_BYTES = 150;

const keyOf = (file: StoredFile, block: number): number => file.fileNo * 2 ** 22 + block;

interface Request {
  readonly file: StoredFile;
  readonly reads: { readonly at: number; readonly block: BlockAddress }[];
  end: number;
}

export class MemoryBlockSource implements BlockSource {
  readonly #store: ObjectStore;
  readonly #budgetBytes: number;
  readonly #disk: DiskCache | undefined;
  /** In the order of use. */
  readonly #blocks = new Map<number, Uint8Array>();
  /** By file number, so that a file can be forgotten. */
  readonly #files = new Map<number, Set<number>>();
  readonly #arriving = new Map<number, Promise<Uint8Array>>();
  #bytes = 0;
  #running = 0;
  readonly #queue: (() => void)[] = [];
  hits = 0;
  misses = 0;
  requests = 0;

  /** `budgetBytes` of memory. */
  constructor(store: ObjectStore, budgetBytes: number, disk?: DiskCache) {
    this.#store = store;
    this.#budgetBytes = budgetBytes;
    this.#disk = disk;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** @hot */
  resident(file: StoredFile, block: BlockAddress, fill = true): Uint8Array | undefined {
    const key = keyOf(file, block.index);
    const bytes = this.#blocks.get(key);
    if (bytes === undefined) {
      const cached = this.#disk?.read(file, block);
      if (cached === undefined) this.misses++;
      else if (fill) this.#insert(file, block.index, cached);
      return cached;
    }
    this.hits++;
    this.#blocks.delete(key);
    this.#blocks.set(key, bytes);
    return bytes;
  }

  async read(
    reads: readonly BlockRead[],
    { fill, signal }: ReadOptions,
  ): Promise<readonly Uint8Array[]> {
    const contents = new Map<number, Promise<Uint8Array>>();
    const missing: { at: number; file: StoredFile; block: BlockAddress }[] = [];
    for (const [at, { file, block }] of reads.entries()) {
      const key = keyOf(file, block.index);
      const known = this.#blocks.get(key) ?? this.#arriving.get(key);
      if (known === undefined) missing.push({ at, file, block });
      else contents.set(at, Promise.resolve(known));
    }
    for (const request of coalesced(missing)) {
      const arrived = this.#fetch(request, fill, signal);
      for (const [i, { at, block }] of request.reads.entries()) {
        const key = keyOf(request.file, block.index);
        const one = arrived
          .then((all) => all[i]!)
          .finally(() => {
            if (this.#arriving.get(key) === one) this.#arriving.delete(key);
          });
        this.#arriving.set(key, one);
        contents.set(at, one);
      }
    }
    return Promise.all(reads.map((_, at) => contents.get(at)!));
  }

  admit(file: StoredFile, bytes: Uint8Array, hot: readonly BlockAddress[]): void {
    this.#disk?.putFile(file, bytes);
    for (const { index, offset, length } of hot)
      this.#insert(file, index, openBlock(copyOf(bytes, offset, offset + length), file));
  }

  forget(file: StoredFile): void {
    for (const block of this.#files.get(file.fileNo) ?? []) this.#remove(file, block);
    this.#files.delete(file.fileNo);
  }

  hotBlocks(file: StoredFile, limit: number): readonly number[] {
    return [...(this.#files.get(file.fileNo) ?? [])].slice(-limit).toReversed();
  }

  async close(): Promise<void> {
    this.#blocks.clear();
    this.#files.clear();
    this.#bytes = 0;
    this.#disk?.close();
  }

  async #fetch(
    { file, reads, end }: Request,
    fill: boolean,
    signal: AbortSignal | undefined,
  ): Promise<readonly Uint8Array[]> {
    const start = reads[0]!.block.offset;
    await this.#enter();
    let bytes: Uint8Array;
    try {
      this.requests++;
      const range = { offset: file.offset + start, length: end - start };
      bytes = await this.#store.get(file.object, range, signal);
    } catch (cause) {
      throw missingOr(cause, file.object);
    } finally {
      this.#leave();
    }
    return reads.map(({ block }) => {
      const at = block.offset - start;
      const place = { object: file.object, offset: file.offset + block.offset };
      // A copy of its own: a block that stays must not keep its neighbours.
      const stored = copyOf(bytes, at, at + block.length);
      const contents = openBlock(stored, place);
      if (fill) {
        this.#insert(file, block.index, contents);
        this.#disk?.putBlock(file, block, stored);
      }
      return contents;
    });
  }

  #insert(file: StoredFile, block: number, contents: Uint8Array): void {
    const key = keyOf(file, block);
    if (this.#blocks.has(key)) return;
    this.#blocks.set(key, contents);
    this.#bytes += contents.length + ENTRY_BYTES;
    const blocks = this.#files.get(file.fileNo);
    if (blocks === undefined) this.#files.set(file.fileNo, new Set([block]));
    else blocks.add(block);
    while (this.#bytes > this.#budgetBytes) {
      const oldest = this.#blocks.keys().next();
      if (oldest.done === true) break;
      this.#removeKey(oldest.value);
    }
  }

  #remove(file: StoredFile, block: number): void {
    this.#removeKey(keyOf(file, block));
  }

  #removeKey(key: number): void {
    const bytes = this.#blocks.get(key);
    if (bytes === undefined) return;
    this.#blocks.delete(key);
    this.#bytes -= bytes.length + ENTRY_BYTES;
    this.#files.get(Math.floor(key / 2 ** 22))?.delete(key % 2 ** 22);
  }

  #enter(): Promise<void> | undefined {
    if (this.#running < REQUESTS_MAX) {
      this.#running++;
      return undefined;
    }
    return new Promise((resolve) => this.#queue.push(resolve));
  }

  #leave(): void {
    const next = this.#queue.shift();
    if (next === undefined) this.#running--;
    else next();
  }
}

/** Blocks that follow each other in a file become one request. */
function coalesced(
  missing: readonly { at: number; file: StoredFile; block: BlockAddress }[],
): readonly Request[] {
  const sorted = missing.toSorted(
    (a, b) => a.file.fileNo - b.file.fileNo || a.block.offset - b.block.offset,
  );
  const requests: Request[] = [];
  for (const { at, file, block } of sorted) {
    const last = requests.at(-1);
    const end = block.offset + block.length;
    if (
      last !== undefined &&
      last.file.fileNo === file.fileNo &&
      (block.offset === last.end || end === last.end) &&
      end - last.reads[0]!.block.offset <= REQUEST_BYTES_MAX
    ) {
      last.reads.push({ at, block });
      last.end = end;
    } else {
      requests.push({ file, reads: [{ at, block }], end });
    }
  }
  return requests;
}
